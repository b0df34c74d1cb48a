"""Breakers of several processes on a real Redis: prompt, disposable, and never in a call's way."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from backend.messaging import breaker_board, breakers
from backend.messaging.breaker_errors import BreakerOpen
from backend.messaging.breaker_notice import Notice, encode
from backend.messaging.breaker_policy import RECOVERY_MAX_S, BreakerPolicy
from backend.messaging.breakers import Breakers
from tests.own_redis import OwnRedis
from tests.waiting import FOREVER_S, PATIENCE_S, until

POLICY = BreakerPolicy(fail_max=1, recovery_s=RECOVERY_MAX_S)

Start = Callable[..., Breakers]


class Down(Exception):
    """What a dependency that is down raises."""


@pytest.fixture
def start(redis_url: str, namespace: str) -> Iterator[Start]:
    started: list[Breakers] = []

    def begin(url: str = redis_url) -> Breakers:
        started.append(Breakers.on(url, namespace))
        started[-1].start()
        return started[-1]

    yield begin
    for made in started:
        made.close()


def fail() -> None:
    raise Down


def trip(process: Breakers, key: str = "a", policy: BreakerPolicy = POLICY) -> None:
    with pytest.raises(Down):
        process.get("node", key, policy).call(fail)


def state(process: Breakers, key: str = "a", policy: BreakerPolicy = POLICY) -> str:
    return process.get("node", key, policy).current_state


def eventually(true: Callable[[], bool]) -> None:
    until(true, "it became true")


@pytest.fixture
def only_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is compared after the start: who hears of a change was told of it, at the teller's next turn."""
    monkeypatch.setattr(breaker_board, "SYNC_EVERY_S", FOREVER_S)


def hears(process: Breakers, other: Breakers) -> None:
    """Wait until both are known to listen: what one opens, the other has."""
    for number, (one, two) in enumerate([(process, other), (other, process)]):
        trip(one, f"hello-{number}")
        eventually(lambda two=two, number=number: state(two, f"hello-{number}") == "open")  # type: ignore[misc]  # bound now


def test_a_trip_and_a_recovery_are_told_to_others(only_told: None, start: Start) -> None:
    one, other = start(), start()
    hears(one, other)
    assert state(other) == "closed"
    trip(one)
    eventually(lambda: state(other) == "open")
    with pytest.raises(BreakerOpen) as caught:
        other.get("node", "a", POLICY).call(fail)
    assert RECOVERY_MAX_S / 2 < caught.value.retry_s <= RECOVERY_MAX_S
    assert other.get("node", "a", POLICY).trips == 0, "it was counted where it happened"
    one.get("node", "a", POLICY).close()
    eventually(lambda: state(other) == "closed")


def test_what_others_have_open_is_open_from_a_breakers_first_call_on(start: Start) -> None:
    one, other = start(), start()
    hears(one, other)
    trip(one, "never used by the other yet")
    one.get("node", "hello-0", POLICY).close()
    eventually(lambda: state(other, "hello-0") == "closed")  # it hears in order
    with pytest.raises(BreakerOpen):
        other.get("node", "never used by the other yet", POLICY).call(fail)


def test_a_process_that_starts_reads_what_is_open(start: Start) -> None:
    one = start()
    trip(one)
    eventually(lambda: [posted.name for posted in one.read()] == ["node:a"])
    late = start()
    eventually(lambda: state(late) == "open")
    [posted] = late.read()
    assert (posted.state, posted.stale) == ("open", False)
    assert RECOVERY_MAX_S / 2 < posted.retry_s <= RECOVERY_MAX_S


CHILD = """
import sys, time
from backend.messaging import breaker_board
from backend.messaging.breaker_policy import RECOVERY_MAX_S, BreakerPolicy
from backend.messaging.breakers import Breakers
breaker_board.SYNC_EVERY_S = 3_600.0
process = Breakers.on(*sys.argv[1:])
process.start()
for name in ("hello", "a"):
    breaker = process.get("node", name, BreakerPolicy(fail_max=1, recovery_s=3_600.0))
    while breaker.current_state == "closed":
        time.sleep(0.005)
    print(name, flush=True)
process.close()
"""


def test_another_process_is_told_of_a_trip(only_told: None, start: Start, redis_url: str, namespace: str) -> None:
    here = start()
    there = subprocess.Popen([sys.executable, "-c", CHILD, redis_url, namespace], stdout=subprocess.PIPE, text=True)
    try:
        assert there.stdout is not None
        trip(here, "hello")
        assert there.stdout.readline() == "hello\n"
        trip(here)
        assert there.stdout.readline() == "a\n"
        assert there.wait(PATIENCE_S) == 0
    finally:
        there.kill()
        there.wait()


def test_a_probe_of_one_process_closes_it_for_all(start: Start) -> None:
    one, other = start(), start()
    hears(one, other)
    trip(one)
    eventually(lambda: state(other) == "open")
    probing = one.get("node", "a", POLICY)
    probing._clock = lambda: time.monotonic() + RECOVERY_MAX_S  # the time to retry has come
    probing.call(int)
    assert state(one) == "closed"
    eventually(lambda: state(other) == "closed")
    assert "node:a" not in [posted.name for posted in one.read()]


def test_changes_on_both_sides_at_once_end_in_the_same_state(start: Start) -> None:
    one, other = start(), start()
    hears(one, other)
    for number in range(10):
        trip(one, str(number))
        other.get("node", str(number), POLICY).open()
        one.get("node", str(number), POLICY).close()
    for teller, hearer, last in ((one, other, "last of one"), (other, one, "last of the other")):
        trip(teller, last)
        eventually(lambda hearer=hearer, last=last: state(hearer, last) == "open")  # type: ignore[misc]  # bound now

    def agree(number: int) -> bool:
        here, there = state(one, str(number)), state(other, str(number))
        return here == there and (f"node:{number}" in {posted.name for posted in one.read()}) == (here == "open")

    eventually(lambda: all(map(agree, range(10))))


def test_an_unshared_breaker_is_nobody_elses_business(start: Start) -> None:
    one, other = start(), start()
    hears(one, other)
    with pytest.raises(Down):
        one.get("bus", "redis", POLICY, shared=False).call(fail)
    trip(one, "after")
    eventually(lambda: state(other, "after") == "open")
    assert other.get("bus", "redis", POLICY).current_state == "closed"


def test_foreign_bytes_on_the_channel_and_in_the_hash_are_passed_over(
    start: Start, redis_url: str, namespace: str
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.hset(f"{namespace}.breakers", mapping={"x": b"\xff not ours", "y": b"{}"})
        one, other = start(), start()
        hears(one, other)
        client.publish(f"{namespace}.breakers", b"\x00 not ours")
        client.publish(f"{namespace}.breakers", encode(Notice("node:a", "ajar", 1.0, "o", 1)))
    trip(one)
    eventually(lambda: state(other) == "open")
    assert {posted.name for posted in one.read()} == {"node:a", "node:hello-0", "node:hello-1"}


def test_what_a_dead_process_left_is_forgotten(
    start: Start, redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = BreakerPolicy(fail_max=1, recovery_s=0.2)
    dying = start()
    trip(dying, policy=short)
    eventually(lambda: len(dying.read()) == 1)
    dying.close()
    monkeypatch.setattr("backend.messaging.breaker_notice.KEPT_S", 0.2)
    monkeypatch.setattr(breaker_board, "SYNC_EVERY_S", 0.1)
    left = start()
    with redis.Redis.from_url(redis_url) as client:
        eventually(lambda: client.hlen(f"{namespace}.breakers") == 0)
        assert left.read() == []


def test_idle_breakers_are_dropped_and_not_restored(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    one = start()
    trip(one, policy=BreakerPolicy(fail_max=1, recovery_s=0.1))
    monkeypatch.setattr(breakers, "IDLE_S", 0.2)
    eventually(lambda: not one.figures())


def test_after_a_flush_of_redis_what_is_open_is_written_again(
    start: Start, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker_board, "SYNC_EVERY_S", 0.2)
    one = start()
    trip(one)
    eventually(lambda: len(one.read()) == 1)
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    eventually(lambda: len(one.read()) == 1)
    assert state(one) == "open"


def test_without_redis_breakers_work_alone_and_no_call_waits_or_fails(
    own_redis: OwnRedis, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = start(own_redis.url), start(own_redis.url)
    hears(one, other)
    asking = askers(board_of(one), monkeypatch)
    own_redis.freeze()
    trip(one)
    one.get("node", "b", POLICY).call(int)
    assert state(one) == "open"
    assert state(other) == "closed"
    own_redis.thaw()
    eventually(lambda: state(other) == "open")
    assert asking == {"breakers"}, "only the thread for it talks to Redis"


def test_a_trip_while_redis_was_dead_is_told_when_it_is_back(own_redis: OwnRedis, start: Start) -> None:
    one, other = start(own_redis.url), start(own_redis.url)
    hears(one, other)
    own_redis.kill()
    trip(one)
    trip(other, "b")
    eventually(lambda: board_of(one).away and board_of(other).away)
    assert (state(one, "b"), state(other)) == ("closed", "closed")
    own_redis.start()
    eventually(lambda: (state(one, "b"), state(other)) == ("open", "open"))


def test_a_process_may_start_while_redis_is_away_and_ends_without_waiting_for_it(
    own_redis: OwnRedis, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker_board, "RETRY_S", FOREVER_S)
    monkeypatch.setattr(breaker_board, "CLOSE_TIMEOUT_S", PATIENCE_S)
    own_redis.kill()
    one = start(own_redis.url)
    trip(one)
    eventually(lambda: board_of(one).away)
    one.close()
    thread = board_of(one)._thread
    assert thread is not None
    assert not thread.is_alive(), "it was woken from its wait for the next try"


def test_a_trip_that_could_not_be_written_is_written_later(own_redis: OwnRedis, start: Start) -> None:
    one, other = start(own_redis.url), start(own_redis.url)
    hears(one, other)
    own_redis.freeze()
    trip(one)
    board = board_of(one)
    eventually(lambda: board.away)
    assert board.is_pending("node:a")
    own_redis.thaw()
    eventually(lambda: state(other) == "open")
    eventually(lambda: "node:a" in [posted.name for posted in other.read()])


def test_changes_that_wait_for_redis_are_bounded_and_those_beyond_are_counted(
    own_redis: OwnRedis, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker_board, "PENDING_MAX", 2)
    monkeypatch.setattr(breaker_board, "SYNC_EVERY_S", 0.2)
    own_redis.kill()
    one, other = start(own_redis.url), start(own_redis.url)
    for number in range(5):
        trip(one, str(number))
    assert board_of(one).dropped == 3
    assert all(state(one, str(number)) == "open" for number in range(5))
    own_redis.start()
    eventually(lambda: all(state(other, str(number)) == "open" for number in range(5)))


def test_without_a_board_thread_a_trip_is_nobodys_business(redis_url: str, namespace: str) -> None:
    alone = Breakers.on(redis_url, namespace)
    trip(alone)
    assert state(alone) == "open"
    assert not board_of(alone).is_pending("node:a")
    assert alone.read() == []
    alone.close()


def askers(board: breaker_board.BreakerBoard, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of the threads that make a board talk to Redis from now on."""
    seen: set[str] = set()
    for name in ("write", "read", "forget", "restore", "listen"):
        real = getattr(board._store, name)

        def noted(*arguments: object, real: Callable[..., object] = real) -> object:
            seen.add(threading.current_thread().name)
            return real(*arguments)

        monkeypatch.setattr(board._store, name, noted)
    return seen


def board_of(process: Breakers) -> breaker_board.BreakerBoard:
    assert process._sharing is not None
    return process._sharing.board
