"""Wanted against running."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agents.manager.reconcile import Plan, diff, member_of, members_of
from agents.runtimes.base import Member, Running
from backend.domain.fleet import AgentKind, FleetSpec, Resources

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
REPLICAS_MAX = 3
SPECS = st.lists(
    st.builds(
        FleetSpec,
        NAMES,
        st.sampled_from([AgentKind.PRICING, AgentKind.INFERENCE]),
        st.sampled_from([(), ("--pool", "x")]),
        st.integers(0, REPLICAS_MAX),
    ),
    unique_by=lambda spec: spec.name,
    max_size=3,
)


@given(SPECS, SPECS, st.integers(1, 2))
def test_after_some_rounds_of_a_perfect_runtime_nothing_is_left_to_do(
    before: list[FleetSpec], wanted: list[FleetSpec], copies: int
) -> None:
    actual = [
        Running(member, f"{member.label}.{copy}", float(copy))
        for member in members_of(before)
        for copy in range(copies)
    ]
    for turn in range(2 + 2 * REPLICAS_MAX):  # what changed is rolled over one by one
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


BUSY = st.dictionaries(st.sampled_from(["a-0.0", "a-1.0", "b-0.0", "b-2.0", "c-1.0"]), st.integers(1, 9))


@given(SPECS, SPECS, st.integers(1, 2), BUSY, st.permutations(range(18)))
def test_the_order_of_what_is_there_and_of_the_wish_does_not_matter(
    before: list[FleetSpec], wanted: list[FleetSpec], copies: int, busy: dict[str, int], order: list[int]
) -> None:
    actual = [
        Running(member, f"{member.label}.{copy}", float(copy))
        for member in members_of(before)
        for copy in range(copies)
    ]
    mixed = [actual[place] for place in order if place < len(actual)]
    plan, other = diff(wanted, actual, (), busy), diff(wanted[::-1], mixed, (), busy)
    assert set(plan.start) == set(other.start)
    assert set(plan.stop) == set(other.stop)


@given(SPECS, SPECS, BUSY)
def test_a_plan_that_was_followed_leaves_nothing_to_do_but_to_start_what_had_to_wait(
    before: list[FleetSpec], wanted: list[FleetSpec], busy: dict[str, int]
) -> None:
    actual = [Running(member, f"{member.label}.0", 0.0) for member in members_of(before)]
    plan = diff(wanted, actual, (), busy)
    actual = [one for one in actual if one not in plan.stop]
    actual += [Running(member, f"{member.label}.new", 1.0) for member in plan.start]
    following = diff(wanted, actual, (), busy)
    assert not {one.member for one in following.stop} & set(members_of(wanted)), "only who is wanted otherwise"
    assert {member.key for member in following.start} <= {one.member.key for one in plan.stop}


@given(SPECS, SPECS, BUSY)
def test_nobody_busy_is_stopped_while_an_idle_one_of_the_same_kind_stays(
    before: list[FleetSpec], wanted: list[FleetSpec], busy: dict[str, int]
) -> None:
    actual = [Running(member, f"{member.label}.0", 0.0) for member in members_of(before)]
    stopped = diff(wanted, actual, (), busy).stop
    idle_kept = {one.member.name for one in actual if one not in stopped and one.handle not in busy}
    fit = {member_of(spec, one.member.number) for spec in wanted for one in actual}
    assert not any(one.handle in busy and one.member.name in idle_kept and one.member in fit for one in stopped)


def test_one_that_is_leaving_is_not_counted_on_and_its_number_waits_for_it() -> None:
    actual = [running(POOL, 0), running(POOL, 1)]
    plan = diff([POOL], actual, {actual[0].handle})
    assert (plan.start, plan.stop) == ((), (actual[0],))
    assert [member.label for member in diff([POOL], actual[1:]).start] == ["fog-0"]


def test_another_image_or_limit_makes_another_member() -> None:
    limited = replace(SETTLEMENT, image="other:1", resources=Resources(0.5, 512))
    old = running(SETTLEMENT)
    assert diff([limited], [old]).stop == (old,)
    [fresh] = diff([limited], []).start
    assert (fresh.image, fresh.resources and fresh.resources.memory_mb) == ("other:1", 512)
    assert diff([limited], [Running(fresh, "h", 0.0)]) == Plan((), ())
