"""Wanted against running."""

from hypothesis import given
from hypothesis import strategies as st

from agents.manager.reconcile import Plan, diff, members_of
from agents.runtimes.base import Member, Running
from backend.domain.fleet import AgentKind, FleetSpec

SETTLEMENT = FleetSpec("settlement", AgentKind.SETTLEMENT)
POOL = FleetSpec("fog", AgentKind.INFERENCE, ("--pool", "fog"), 2)


def running(spec: FleetSpec, number: int = 0, started_s: float = 0.0, handle: str | None = None) -> Running:
    member = Member(spec.name, number, spec.kind, spec.arguments)
    return Running(member, handle or f"{spec.name}-{number}-{started_s}", started_s)


def test_what_is_missing_is_started_and_nothing_else() -> None:
    plan = diff([SETTLEMENT, POOL], [running(POOL, 0)])
    assert [member.label for member in plan.start] == ["settlement-0", "fog-1"]
    assert plan.stop == ()


def test_what_is_not_wanted_is_stopped() -> None:
    stray = running(SETTLEMENT)
    assert diff([], [stray]).stop == (stray,)


def test_fewer_replicas_stop_the_highest_numbers() -> None:
    actual = [running(POOL, 0), running(POOL, 1)]
    fewer = FleetSpec(POOL.name, POOL.kind, POOL.arguments, 1)
    plan = diff([fewer], actual)
    assert (plan.start, plan.stop) == ((), (actual[1],))


def test_a_changed_member_is_stopped_first_and_started_when_it_is_gone() -> None:
    changed = FleetSpec(POOL.name, POOL.kind, ("--pool", "cloud"), 1)
    old = running(POOL, 0)
    before = diff([changed], [old])
    assert (before.start, before.stop) == ((), (old,))
    after = diff([changed], [])
    assert [member.arguments for member in after.start] == [("--pool", "cloud")]


def test_of_twins_the_oldest_stays() -> None:
    old, young = running(SETTLEMENT, 0, 1.0), running(SETTLEMENT, 0, 2.0)
    assert diff([SETTLEMENT], [young, old]).stop == (young,)


NAMES = st.sampled_from(["a", "b", "c"])
SPECS = st.lists(
    st.builds(
        FleetSpec,
        NAMES,
        st.sampled_from([AgentKind.PRICING, AgentKind.INFERENCE]),
        st.sampled_from([(), ("--pool", "x")]),
        st.integers(0, 3),
    ),
    unique_by=lambda spec: spec.name,
    max_size=3,
)


@given(SPECS, SPECS, st.integers(1, 2))
def test_after_two_rounds_of_a_perfect_runtime_nothing_is_left_to_do(
    before: list[FleetSpec], wanted: list[FleetSpec], copies: int
) -> None:
    actual = [
        Running(member, f"{member.label}.{copy}", float(copy))
        for member in members_of(before)
        for copy in range(copies)
    ]
    for turn in range(2):
        plan = diff(wanted, actual)
        actual = [one for one in actual if one not in plan.stop]
        actual += [Running(member, f"{member.label}.new", 10.0 + turn) for member in plan.start]
    assert diff(wanted, actual) == Plan((), ())
    assert sorted(one.member.key for one in actual) == sorted(member.key for member in members_of(wanted))


@given(SPECS, SPECS)
def test_no_member_is_started_beside_one_of_its_name(before: list[FleetSpec], wanted: list[FleetSpec]) -> None:
    actual = [Running(member, member.label, 0.0) for member in members_of(before)]
    there = {one.member.key for one in actual}
    assert not any(member.key in there for member in diff(wanted, actual).start)
