"""Decisions on replicas, one by one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import Invalid
from backend.domain.scaling import (
    GAP_MAX,
    Bounds,
    Cause,
    Decision,
    Observation,
    Record,
    ScalingPolicy,
    decide,
    policy_of,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = ScalingPolicy(up_window_s=4, down_window_s=20, cool_down_s=10)
IDLE = Observation(NOW, 0, 0, 0.0, 0, 1, 0)
LOADED = replace(IDLE, backlog=1_000, wait_ms_p95=100)


def watched(
    bounds: Bounds, *seen: Observation, policy: ScalingPolicy = POLICY, every_s: float = 2.0
) -> tuple[list[Decision], Record]:
    """Decisions on observations in turn, each followed at once."""
    record, decisions = Record(), []
    for turn, one in enumerate(seen):
        at = NOW + timedelta(seconds=turn * every_s)
        decision, record = decide(policy, bounds, record, replace(one, at=at))
        decisions.append(decision)
        bounds = replace(bounds, replicas=decision.replicas)
    return decisions, record


def last(bounds: Bounds, *seen: Observation, policy: ScalingPolicy = POLICY) -> tuple[int, Cause]:
    decisions, _ = watched(bounds, *seen, policy=policy)
    return decisions[-1].replicas, decisions[-1].cause


def test_without_load_an_entry_at_its_least_stays_there() -> None:
    assert last(Bounds(1, 1, 9), *[IDLE] * 30) == (1, Cause.LIMIT)
    assert last(Bounds(0, 0, 9), *[replace(IDLE, living=0)] * 30) == (0, Cause.STEADY)


def test_a_backlog_has_to_last_before_it_is_followed_and_then_by_steps() -> None:
    decisions, _ = watched(Bounds(1, 0, 9), IDLE, IDLE, IDLE, LOADED, LOADED, LOADED)
    assert [(d.replicas, d.cause) for d in decisions][2:] == [
        (1, Cause.STABILISING),
        (1, Cause.STABILISING),
        (1, Cause.STABILISING),
        (1 + POLICY.up_step, Cause.LOAD),
    ]


def test_more_than_the_most_is_never_wanted() -> None:
    assert last(Bounds(3, 0, 3), *[LOADED] * 5) == (3, Cause.LIMIT)


@pytest.mark.parametrize("asked", [{"unserved": 3}, {"backlog": 3}, {"arrivals_per_s": 0.1}])
def test_from_zero_anything_to_do_is_enough_and_no_window_is_waited_for(asked: dict[str, float]) -> None:
    seen = replace(IDLE, living=0, **asked)  # type: ignore[arg-type]  # numbers all
    assert last(Bounds(0, 0, 9), seen) == (1, Cause.FROM_ZERO)


def test_to_zero_one_by_one_once_nothing_was_to_do_for_a_whole_window_with_a_pause_between() -> None:
    decisions, _ = watched(Bounds(2, 0, 9), *[IDLE] * 25)
    at = [turn for turn, d in enumerate(decisions) if d.cause is Cause.IDLE]
    assert at == [10, 15], "20 s of quiet, and 10 s of cool-down, at one look in 2 s"
    assert {d.cause for d in decisions[11:15]} == {Cause.COOLING_DOWN}
    assert decisions[-1].replicas == 0


def test_less_load_is_followed_down_to_what_it_needs() -> None:
    light = replace(IDLE, backlog=150, living=5)
    assert last(Bounds(5, 0, 9), *[light] * 11, policy=replace(POLICY, down_step=9)) == (2, Cause.FALLING)


def test_who_is_at_work_is_not_sent_away_though_nothing_waits() -> None:
    working = replace(IDLE, in_flight=3, living=3, busy=3)
    assert last(Bounds(3, 0, 9), *[working] * 15) == (3, Cause.BUSY)


def test_one_stays_while_anything_is_in_flight_though_nobody_is_seen_at_it() -> None:
    odd = replace(IDLE, in_flight=1, living=2, busy=0)
    assert last(Bounds(2, 0, 9), *[odd] * 60) == (1, Cause.STEADY)


def test_a_wait_that_is_too_long_asks_for_one_more_but_only_once_all_that_were_asked_for_live() -> None:
    late = replace(IDLE, backlog=10, wait_ms_p95=POLICY.wait_ms + 1)
    assert last(Bounds(1, 0, 9), late) == (2, Cause.WAIT)
    decisions, _ = watched(Bounds(1, 0, 9), *[late] * 8)
    assert decisions[-1].replicas == 2, "the second does not live yet"
    unbothered = replace(POLICY, wait_ms=0)
    assert last(Bounds(1, 0, 9), late, policy=unbothered) == (1, Cause.STEADY)


def test_the_rate_of_a_replica_is_measured_and_arrivals_are_met_with_it() -> None:
    """Two replicas, busy half the time, serve 10 a second: 10 each. 40 a second at 80% need 5."""
    steady = replace(IDLE, arrivals_per_s=10.0, arrived=20, living=2, busy=1)
    more = replace(steady, arrivals_per_s=40.0)
    decisions, _ = watched(Bounds(2, 0, 9), *[steady] * 10, more, policy=replace(POLICY, up_step=9, up_window_s=0))
    assert decisions[-1].required == 5
    assert decisions[-1].replicas == 5


def test_arrivals_before_any_rate_is_known_keep_what_lives() -> None:
    assert last(Bounds(3, 0, 9), replace(IDLE, arrivals_per_s=5.0, living=3)) == (3, Cause.STEADY)


def test_a_gap_in_the_watch_begins_a_new_one_so_nothing_is_taken_away_for_a_window() -> None:
    _, record = watched(Bounds(2, 0, 9), *[IDLE] * 9)
    back = replace(IDLE, at=record.samples[-1].seen.at + GAP_MAX + timedelta(seconds=1))
    decision, record = decide(POLICY, Bounds(2, 0, 9), record, back)
    assert (decision.replicas, decision.cause) == (2, Cause.STABILISING)
    assert len(record.samples) == 1


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("backend.domain.scaling.SAMPLES_MAX", 100)
        _, record = watched(Bounds(1, 1, 9), *[IDLE] * 120, every_s=0.01)
    assert len(record.samples) == 100
    _, record = watched(Bounds(1, 1, 9), *[IDLE] * 200)
    assert len(record.samples) <= 63, "two minutes, one look in 2 s"


def test_the_reason_says_what_was_seen() -> None:
    decisions, _ = watched(Bounds(0, 0, 9), replace(IDLE, living=0, unserved=3))
    assert decisions[0].reason == (
        "from_zero: 1 needed for 0 waiting, 0 in flight, 3 unserved, 0.0/s arriving, p95 wait 0 ms; 0 of 0 busy"
    )


observations = st.builds(
    Observation,
    st.just(NOW),
    st.integers(0, 5_000),
    st.integers(0, 50),
    st.floats(0, 100),
    st.integers(0, 60_000),
    st.integers(0, 10),
    st.integers(0, 10),
    st.integers(0, 100),
    st.integers(0, 200),
)


@given(st.lists(observations, min_size=1, max_size=40), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_bounds_and_steps_hold_and_the_busy_stay_whatever_is_seen(
    seen: list[Observation], least: int, more: int, start: int
) -> None:
    most = least + more
    bounds = Bounds(min(max(start, least), most), least, most)
    decisions, _ = watched(bounds, *seen)
    before = bounds.replicas
    for decision in decisions:
        assert least <= decision.replicas <= most
        assert -POLICY.down_step <= decision.replicas - before <= POLICY.up_step or before == 0
        if decision.replicas < before:
            assert decision.replicas >= min(decision.seen.busy, before)
            assert decision.replicas >= 1 or not decision.seen.load
        before = decision.replicas


def test_a_policy_is_read_with_defaults_and_written_whole() -> None:
    policy = policy_of({"wait_ms": 100})
    assert policy == replace(ScalingPolicy(), wait_ms=100)
    assert policy_of(policy.wire()) == policy


@pytest.mark.parametrize(
    ("stated", "field"),
    [
        ({"colour": 1}, "policy.colour"),
        ({"wait_ms": -1}, "policy.wait_ms"),
        ({"up_step": 0}, "policy.up_step"),
        ({"up_step": True}, "policy.up_step"),
        ({"drain_s": "soon"}, "policy.drain_s"),
    ],
)
def test_a_policy_that_cannot_be_names_its_setting(stated: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        policy_of(stated)
    assert (refused.value.code, refused.value.field) == ("invalid_policy", field)
