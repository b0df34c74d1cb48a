"""An entry that was changed is rolled over: one member at a time, and never one that would leave two missing."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agents.manager.reconcile import Plan, diff, member_of, members_of
from agents.runtimes.base import Running
from backend.domain.fleet import AgentKind, AgentState, FleetSpec, Resources
from backend.domain.health import START_MAX_S
from tests.unit.agents.runtime import MemoryRuntime, sight
from tests.unit.agents.test_fleet import Manager

OLD = FleetSpec("fog", AgentKind.INFERENCE, ("--pool", "fog"), 3)
NEW = replace(OLD, image="swarmex:2", resources=Resources(0.5, 512))


def running(spec: FleetSpec, *numbers: int) -> list[Running]:
    return [Running(member_of(spec, number), f"{spec.image} {number}", float(number)) for number in numbers]


def test_of_members_that_are_wanted_otherwise_one_leaves_at_a_time() -> None:
    old = running(OLD, 0, 1, 2)
    assert diff([NEW], old) == Plan((), (old[2],))
    leaving = diff([NEW], old, {old[2].handle})
    assert leaving == Plan((), (old[2],)), "the others stay until it has gone"
    assert diff([NEW], old[:2]) == Plan((member_of(NEW, 2),), ())


def test_the_next_one_leaves_when_the_successor_has_shown_itself() -> None:
    there = [*running(OLD, 0, 1), *running(NEW, 2)]
    assert diff([NEW], there, starting={there[2].handle}).stop == ()
    assert diff([NEW], there).stop == (there[1],)


def test_the_least_busy_leaves_first_and_of_the_idle_one_that_never_came_up() -> None:
    old = running(OLD, 0, 1, 2)
    assert diff([NEW], old, (), {old[2].handle: 1, old[0].handle: 2}).stop == (old[1],)
    assert diff([NEW], old, (), {old[2].handle: 1}, {old[0].handle}).stop == (old[0],)


def test_who_is_too_many_leaves_before_anybody_is_rolled_and_the_changed_stay() -> None:
    there = [*running(OLD, 0, 1), *running(NEW, 2)]
    assert diff([replace(NEW, replicas=1)], there).stop == (there[0], there[1])
    fewer = diff([replace(NEW, replicas=2)], there)
    assert fewer.stop == (there[1],)
    assert diff([replace(NEW, replicas=2)], [there[0], there[2]]).stop == (there[0],)


def test_a_twin_from_before_the_change_leaves_though_it_is_older() -> None:
    [old], [new] = running(OLD, 0), running(NEW, 0)
    assert diff([replace(NEW, replicas=1)], [old, new]).stop == (old,)


SPECS = st.builds(
    FleetSpec,
    st.just("fog"),
    st.just(AgentKind.INFERENCE),
    st.sampled_from([(), ("--pool", "x")]),
    st.integers(0, 4),
    image=st.sampled_from([None, "swarmex:2"]),
)


@given(SPECS, SPECS)
def test_a_roll_ends_and_never_costs_more_than_one_replica(before: FleetSpec, wanted: FleetSpec) -> None:
    actual = [Running(member, member.label, 0.0) for member in members_of([before])]
    fewest = min(len(actual), wanted.replicas)
    for turn in range(1 + 2 * wanted.replicas):
        plan = diff([wanted], actual)
        actual = [one for one in actual if one not in plan.stop]
        actual += [Running(member, f"{member.label}.{turn}", 1.0) for member in plan.start]
        assert len(actual) >= fewest - 1
    assert diff([wanted], actual) == Plan((), ())
    assert {one.member for one in actual} == set(members_of([wanted]))


def test_a_manager_rolls_an_entry_without_haste_and_without_a_pause() -> None:
    manager = Manager()
    manager.step(OLD)
    calls = [call for _ in range(60) for call in manager.step(NEW)]
    assert calls == [call for number in (2, 1, 0) for call in (f"ask fog-{number}", f"start fog-{number}")]
    assert len(manager.notes.drained) == 3, "each was told to finish what it held"
    assert {one.member.image for one in manager.runtime.members.values()} == {"swarmex:2"}
    assert manager.notes.loops == []


def test_a_change_that_nobody_can_live_with_costs_one_replica_and_is_taken_back_by_another() -> None:
    manager = Manager()
    manager.step(OLD)
    for _ in range(20):
        manager.step(NEW)
        manager.runtime.fails = {"fog-2"}
    assert manager.runtime.labels() == ["fog-0", "fog-1"]
    manager.runtime.fails = set()
    calls = [call for _ in range(100) for call in manager.step(OLD)]
    assert calls == ["start fog-2"], "the others are as they are wanted again"


def test_one_that_runs_but_does_not_come_up_holds_the_roll() -> None:
    runtime = MemoryRuntime()
    manager = Manager(runtime)
    manager.step(OLD)
    calls: list[str] = []
    while manager.now_s < START_MAX_S:
        up = [one.member.label for one in runtime.members.values() if one.member.image is None]
        told = [sight(label, int(manager.now_s * 2)) for label in up]
        calls += manager.step(NEW, sights=told)
    assert calls == ["ask fog-2", "start fog-2"]


def test_a_removed_entry_is_drained_whole_and_its_busy_member_is_waited_for() -> None:
    manager = Manager()
    manager.step(OLD)
    calls: list[str] = []
    for _ in range(20):
        beat = int(manager.now_s * 2)
        told = [
            sight(label, beat, held=label == "fog-1", state=AgentState.DRAINING if calls else AgentState.UP)
            for label in manager.runtime.labels()
        ]
        calls += manager.step(sights=told)
    assert sorted(calls) == ["ask fog-0", "ask fog-2"]
    assert manager.runtime.labels() == ["fog-1"]
    assert [call for _ in range(2) for call in manager.step()] == ["ask fog-1"]
