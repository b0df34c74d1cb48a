"""A breaker under many callers at once: permits are counted, failures are not lost, and no call waits for another."""

import asyncio
import contextlib
import itertools
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pybreaker
import pytest

from backend.messaging.breaker import Breaker
from backend.messaging.breaker_errors import BreakerOpen
from backend.messaging.breaker_policy import BreakerPolicy
from tests.unit.messaging.breaking import Clock, Down, bad, good
from tests.waiting import PATIENCE_S

CALLERS = 16


def tripped(clock: Clock, **policy: object) -> Breaker:
    """A breaker whose recovery time is over, and that nobody has called since."""
    guard = Breaker("dependency", BreakerPolicy(fail_max=1, recovery_s=5.0, **policy), clock=clock)  # type: ignore[arg-type]  # handed through
    with pytest.raises(Down):
        guard.call(bad)
    clock.pass_s(5.0)
    return guard


def by_threads(guard: pybreaker.CircuitBreaker) -> int:
    """How many of CALLERS threads get in while none of those inside has ended."""
    inside, may_end, refused = threading.Semaphore(0), threading.Event(), threading.Semaphore(0)
    admitted = []

    def probe() -> None:
        admitted.append(1)
        inside.release()
        may_end.wait(PATIENCE_S)

    def caller() -> None:
        try:
            guard.call(probe)
        except pybreaker.CircuitBreakerError:
            refused.release()

    threads = [threading.Thread(target=caller) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for _ in range(CALLERS - guard.policy.permits):  # type: ignore[attr-defined]  # ours
        assert refused.acquire(timeout=PATIENCE_S)
    count = len(admitted)
    may_end.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(admitted) == count
    return count


def by_tasks(guard: Breaker) -> int:
    """The same with tasks of one event loop."""
    admitted = 0

    async def scenario() -> None:
        may_end = asyncio.Event()

        async def caller() -> None:
            nonlocal admitted
            try:
                async with guard.calling():
                    admitted += 1
                    await may_end.wait()
            except BreakerOpen:
                pass

        tasks = [asyncio.create_task(caller()) for _ in range(CALLERS)]
        for _ in range(3):
            await asyncio.sleep(0)
        may_end.set()
        await asyncio.gather(*tasks)

    asyncio.run(scenario())
    return admitted


@pytest.mark.parametrize("count", [by_threads, by_tasks])
@pytest.mark.parametrize("permits", [1, 3])
def test_a_half_open_breaker_admits_as_many_probes_at_once_as_it_has_permits(
    count: Callable[[Breaker], int], permits: int
) -> None:
    guard = tripped(Clock(), permits=permits)
    assert count(guard) == permits
    assert guard.current_state == "closed"
    assert guard.rejected == CALLERS - permits


def test_calls_run_beside_each_other_and_hold_no_lock() -> None:
    guard = Breaker("dependency", BreakerPolicy(rate=0.5))
    together = threading.Barrier(CALLERS)

    def meet() -> None:
        together.wait(PATIENCE_S)
        held_here = guard._lock._is_owned()  # type: ignore[attr-defined]  # there is no other way to see it
        assert not held_here

    with ThreadPoolExecutor(CALLERS) as pool:
        for done in [pool.submit(guard.call, meet) for _ in range(CALLERS)]:
            done.result(PATIENCE_S)


def test_no_failure_and_no_call_is_lost_among_threads() -> None:
    each = 2_000
    guard = Breaker("dependency", BreakerPolicy(fail_max=None, rate=1.0, volume_min=1 << 40, window_s=3_600.0))

    def caller(number: int) -> None:
        for _ in range(each):
            with contextlib.suppress(Down):
                guard.call(bad if number % 2 else good)

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(caller, range(CALLERS)))
    assert guard._window is not None
    assert (guard._window.calls, guard._window.failures) == (CALLERS * each, CALLERS * each // 2)


def test_failures_in_a_row_of_many_threads_trip_it_exactly_at_the_limit() -> None:
    guard = Breaker("dependency", BreakerPolicy(fail_max=CALLERS * 100))
    calls = []

    def caller(_: int) -> None:
        for _ in range(100):
            calls.append(1)
            with contextlib.suppress(Down):
                guard.call(bad)

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(caller, range(CALLERS)))
    assert (guard.current_state, guard.trips, len(calls)) == ("open", 1, CALLERS * 100)


def test_an_answer_to_a_call_of_before_the_trip_says_nothing_about_now() -> None:
    clock = Clock()
    guard = Breaker("dependency", BreakerPolicy(fail_max=1, recovery_s=5.0), clock=clock)
    early_success, early_failure = guard.before(), guard.before()
    with pytest.raises(Down):
        guard.call(bad)
    guard.success(early_success)
    assert guard.current_state == "open"
    clock.pass_s(5.0)
    probe = guard.before()
    assert not guard.failure(early_failure, Down())
    assert guard.current_state == "half-open"
    guard.success(probe)
    assert guard.current_state == "closed"


def test_a_cancelled_probe_gives_its_permit_back_and_counts_as_nothing() -> None:
    guard = tripped(Clock())

    async def scenario() -> None:
        async def hang() -> None:
            await asyncio.sleep(PATIENCE_S)

        task = asyncio.create_task(guard.call_async(hang))
        await asyncio.sleep(0)
        with pytest.raises(BreakerOpen):
            await guard.call_async(hang)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert (guard.current_state, guard.trips) == ("half-open", 1)
    assert guard.call(good) == "good"
    assert guard.current_state == "closed"


def test_probes_that_never_end_do_not_keep_it_shut() -> None:
    clock = Clock()
    guard = tripped(clock)
    hanging = guard.before()
    clock.pass_s(4.9)
    with pytest.raises(BreakerOpen) as caught:
        guard.before()
    assert caught.value.retry_s == pytest.approx(0.1)
    clock.pass_s(0.1)
    second = guard.before()
    with pytest.raises(BreakerOpen):
        guard.before()
    guard.failure(hanging, Down())
    assert guard.current_state == "half-open", "it was given up"
    guard.success(second)
    assert guard.current_state == "closed"


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_a_coroutine_or_a_generator_that_is_never_begun_keeps_no_permit() -> None:
    guard = tripped(Clock())

    async def never() -> None: ...

    def nothing() -> object:
        yield

    unused = guard.call(never)
    unused.close()
    guard.call(nothing)
    assert guard.call(good) == "good"
    assert guard.current_state == "closed"


def test_after_a_storm_no_permit_is_lost_and_it_can_recover() -> None:
    ticks = itertools.count()
    policy = BreakerPolicy(fail_max=3, rate=0.5, volume_min=5, recovery_s=0.05, permits=2, successes=2)
    guard = Breaker("dependency", policy, clock=lambda: next(ticks) / 1_000)
    seen = set()

    def caller(number: int) -> None:
        luck = random.Random(number)
        for _ in range(1_000):
            seen.add(guard.current_state)
            with contextlib.suppress(Down, BreakerOpen):
                guard.call(bad if luck.random() < 0.4 else good)

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(caller, range(CALLERS)))
    assert seen == {"closed", "open", "half-open"}
    assert guard._probes == 0
    for _ in range(200):
        with contextlib.suppress(BreakerOpen):
            guard.call(good)
    assert guard.current_state == "closed"
