"""Breakers of several processes on a real Redis: prompt, disposable, and never in a call's way."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from backend.messaging import breaker_board, breakers
from backend.messaging.breaker_errors import BreakerOpen
from backend.messaging.breaker_notice import Notice, encode
from backend.messaging.breaker_policy import BreakerPolicy
from backend.messaging.breakers import Breakers
from tests.own_redis import OwnRedis

SEEN_MAX_S = 1.0
WAIT_S = 10.0
POLICY = BreakerPolicy(fail_max=1, recovery_s=30.0)

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


def eventually(true: Callable[[], bool], timeout_s: float = WAIT_S) -> float:
    """Seconds until it was true."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < timeout_s, "it never became true"
        time.sleep(0.005)
    return time.monotonic() - started


def hears(process: Breakers, other: Breakers) -> None:
    """Wait until both are known to listen: what one opens, the other has."""
    for number, (one, two) in enumerate([(process, other), (other, process)]):
        trip(one, f"hello-{number}")
        eventually(lambda two=two, number=number: state(two, f"hello-{number}") == "open")  # type: ignore[misc]  # bound now


def test_a_trip_and_a_recovery_are_seen_by_others_within_a_second(start: Start) -> None:
    one, other = start(), start()
    hears(one, other)
    assert state(other) == "closed"
    trip(one)
    assert eventually(lambda: state(other) == "open") < SEEN_MAX_S
    with pytest.raises(BreakerOpen) as caught:
        other.get("node", "a", POLICY).call(fail)
    assert 25.0 < caught.value.retry_s <= 30.0
    assert other.get("node", "a", POLICY).trips == 0, "it was counted where it happened"
    one.get("node", "a", POLICY).close()
    assert eventually(lambda: state(other) == "closed") < SEEN_MAX_S


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
    assert eventually(lambda: state(late) == "open") < SEEN_MAX_S
    [posted] = late.read()
    assert (posted.state, posted.stale) == ("open", False)
    assert 25.0 < posted.retry_s <= 30.0


CHILD = """
import sys, time
from backend.messaging.breaker_policy import BreakerPolicy
from backend.messaging.breakers import Breakers
process = Breakers.on(*sys.argv[1:])
process.start()
for name in ("hello", "a"):
    breaker = process.get("node", name, BreakerPolicy(fail_max=1, recovery_s=30.0))
    while breaker.current_state == "closed":
        time.sleep(0.005)
    print(name, flush=True)
process.close()
"""


def test_another_process_sees_a_trip_within_a_second(start: Start, redis_url: str, namespace: str) -> None:
    here = start()
    there = subprocess.Popen([sys.executable, "-c", CHILD, redis_url, namespace], stdout=subprocess.PIPE, text=True)
    try:
        assert there.stdout is not None
        trip(here, "hello")
        assert there.stdout.readline() == "hello\n"
        tripped_at = time.monotonic()
        trip(here)
        assert there.stdout.readline() == "a\n"
        assert time.monotonic() - tripped_at < SEEN_MAX_S
        assert there.wait(WAIT_S) == 0
    finally:
        there.kill()
        there.wait()


def test_a_probe_of_one_process_closes_it_for_all(start: Start) -> None:
    quick = BreakerPolicy(fail_max=1, recovery_s=0.3)
    one, other = start(), start()
    hears(one, other)
    trip(one, policy=quick)
    eventually(lambda: state(other, policy=quick) == "open")
    eventually(lambda: one.get("node", "a", quick).retry_s == 0.0)
    one.get("node", "a", quick).call(int)
    assert state(one, policy=quick) == "closed"
    assert eventually(lambda: state(other, policy=quick) == "closed") < SEEN_MAX_S
    assert "node:a" not in [posted.name for posted in one.read()]


def test_changes_on_both_sides_at_once_end_in_the_same_state(start: Start) -> None:
    one, other = start(), start()
    hears(one, other)
    for number in range(10):
        trip(one, str(number))
        other.get("node", str(number), POLICY).open()
        one.get("node", str(number), POLICY).close()
    eventually(lambda: all(state(one, str(n)) == state(other, str(n)) for n in range(10)))
    time.sleep(2 * breaker_board.TURN_S)
    kept = {posted.name for posted in one.read()}
    for number in range(10):
        here = state(one, str(number))
        assert here == state(other, str(number))
        assert (f"node:{number}" in kept) == (here == "open")


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
    assert eventually(lambda: state(other) == "open") < SEEN_MAX_S
    assert {posted.name for posted in one.read()} == {"node:a", "node:hello-0", "node:hello-1"}


def test_what_a_dead_process_left_is_forgotten(
    start: Start, redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.messaging.breaker_notice.KEPT_S", 0.2)
    monkeypatch.setattr(breaker_board, "SYNC_EVERY_S", 0.1)
    short = BreakerPolicy(fail_max=1, recovery_s=0.2)
    dying = start()
    trip(dying, policy=short)
    eventually(lambda: len(dying.read()) == 1)
    dying.close()
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


def test_without_redis_breakers_work_alone_and_no_call_waits_or_fails(own_redis: OwnRedis, start: Start) -> None:
    one, other = start(own_redis.url), start(own_redis.url)
    hears(one, other)
    own_redis.freeze()
    started = time.monotonic()
    trip(one)
    one.get("node", "b", POLICY).call(int)
    assert state(one) == "open"
    assert time.monotonic() - started < 0.1
    assert state(other) == "closed"
    own_redis.thaw()
    assert eventually(lambda: state(other) == "open") < 3.0


def test_a_trip_while_redis_was_dead_is_told_when_it_is_back(own_redis: OwnRedis, start: Start) -> None:
    one, other = start(own_redis.url), start(own_redis.url)
    hears(one, other)
    own_redis.kill()
    trip(one)
    trip(other, "b")
    time.sleep(0.5)
    assert (state(one, "b"), state(other)) == ("closed", "closed")
    own_redis.start()
    eventually(lambda: (state(one, "b"), state(other)) == ("open", "open"))


def test_a_process_may_start_while_redis_is_away_and_end_quickly(own_redis: OwnRedis, start: Start) -> None:
    own_redis.kill()
    one = start(own_redis.url)
    trip(one)
    time.sleep(0.3)
    started = time.monotonic()
    one.close()
    assert time.monotonic() - started < 1.5


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


def board_of(process: Breakers) -> breaker_board.BreakerBoard:
    assert process._sharing is not None
    return process._sharing.board
