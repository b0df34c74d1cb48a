"""The registry of breakers: one per dependency, bounded, and what monitoring is told of it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.messaging import breaker_tallies, breakers
from backend.messaging.breaker_errors import BreakerOpen
from backend.messaging.breaker_notice import NAME_CHARS_MAX
from backend.messaging.breaker_policy import BreakerPolicy
from backend.messaging.breakers import STALE_AFTER, Breakers, Own
from tests.unit.messaging.breaking import Clock, Down, bad, good

POLICY = BreakerPolicy(fail_max=1, recovery_s=5.0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(clock: Clock) -> Breakers:
    return Breakers(clock=clock)


def trip(registry: Breakers, key: str) -> None:
    with pytest.raises(Down):
        registry.get("node", key, POLICY).call(bad)


def test_each_dependency_has_a_breaker_of_its_own(registry: Breakers) -> None:
    trip(registry, "a")
    assert registry.get("node", "a", POLICY).current_state == "open"
    assert registry.get("node", "b", POLICY).call(good) == "good"
    assert registry.get("queue", "a", POLICY).current_state == "closed"
    assert registry.get("node", "a", POLICY).label == "node:a"


def test_threads_that_ask_at_once_get_the_same_breaker(registry: Breakers) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(lambda _: registry.get("node", "a", POLICY), range(200)))
    assert len(found) == 1


def test_a_full_registry_drops_closed_breakers_before_open_ones_and_old_before_new(
    registry: Breakers, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakers, "BREAKERS_MAX", 10)
    monkeypatch.setattr(breakers, "ROOM", 2)
    own = registry.get("bus", "redis", POLICY, shared=False)
    trip(registry, "sick")
    made = {}
    for number in range(8):
        clock.pass_s(1.0)
        made[number] = registry.get("node", str(number), POLICY)
    registry.get("node", "0", POLICY)  # used again, later than any other
    registry.get("node", "one too many", POLICY)
    assert registry.get("bus", "redis", POLICY, shared=False) is own
    assert registry.get("node", "sick", POLICY).trips == 1
    assert registry.get("node", "0", POLICY) is made[0]
    assert len(registry.figures()) == 9
    assert registry.get("node", "1", POLICY) is not made[1]


def test_a_registry_full_of_open_breakers_stays_bounded(
    registry: Breakers, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakers, "BREAKERS_MAX", 10)
    monkeypatch.setattr(breakers, "ROOM", 1)
    for number in range(50):
        clock.pass_s(0.01)
        trip(registry, str(number))
    assert len(registry.figures()) == 10


def test_a_very_long_key_is_cut_and_still_told_from_others(registry: Breakers) -> None:
    one, other = (registry.get("node", "n" * 500 + end, POLICY) for end in "ab")
    assert len(one.label) == len(other.label) == NAME_CHARS_MAX
    assert one.label != other.label


def test_figures_tell_states_trips_and_refusals(registry: Breakers) -> None:
    trip(registry, "a")
    for _ in range(3):
        with pytest.raises(BreakerOpen):
            asyncio.run(registry.get("node", "a", POLICY).call_async(asyncio.sleep, 0))
    [figures] = registry.figures()
    assert (figures.kind, figures.name, figures.states) == ("node", "node:a", {"open": 1})
    assert (figures.trips, figures.rejected) == (1, 3)


def test_own_ones_are_those_not_shared_and_not_closed_until_nobody_tries_for_very_long(
    registry: Breakers, clock: Clock
) -> None:
    trip(registry, "shared")
    queues = registry.get("queues", "redis", POLICY, shared=False)
    assert registry.own() == []
    queues.open()
    assert registry.own() == [Own("queues", "redis", "open")]
    clock.pass_s(STALE_AFTER * POLICY.recovery_s)
    queues.half_open()
    assert registry.own() == [Own("queues", "redis", "half-open")]
    clock.pass_s(STALE_AFTER * POLICY.recovery_s)
    assert registry.own() == [Own("queues", "redis", "half-open")]
    clock.pass_s(POLICY.recovery_s)
    assert registry.own() == []
    queues.open()
    queues.close()
    assert registry.own() == []


def test_names_beyond_the_limit_are_summed_and_no_sum_ever_falls(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker_tallies, "NAMED_MAX", 2)
    monkeypatch.setattr(breakers, "BREAKERS_MAX", 6)
    monkeypatch.setattr(breakers, "ROOM", 3)
    registry = Breakers(clock=clock)
    for number in range(5):
        clock.pass_s(1.0)
        trip(registry, str(number))
    by_name = {figures.name: figures for figures in registry.figures()}
    assert set(by_name) == {"node:0", "node:1", "other"}
    assert (by_name["other"].trips, by_name["other"].states) == (3, {"open": 3})
    for number in range(5, 30):
        clock.pass_s(1.0)
        trip(registry, str(number))
        figures = registry.figures()
        assert len(figures) <= 3
        assert sum(f.trips for f in figures if f.name == "other") >= by_name["other"].trips
        by_name = {f.name: f for f in figures}
