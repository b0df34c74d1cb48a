"""An entry that was changed, on a runtime that replaces members in their places and rolls back what does not get well.

Who is busy is drained and started anew, as everywhere.
"""

from dataclasses import replace

import pytest
from hypothesis import given

from agents.manager.fleet import Fleet
from agents.manager.reconcile import Plan, diff, member_of, members_of
from agents.manager.restarts import LOOP_DEATHS
from agents.manager.rollouts import Rollouts
from agents.runtimes.base import Running, StopsFirst
from agents.runtimes.guard import Guarded, Superseded
from backend.domain.fleet import AgentKind, AgentState, FleetSpec
from backend.domain.health import Health
from backend.storage.agents import Sight
from tests.unit.agents.runtime import MemoryRuntime, Notes, sight
from tests.unit.agents.test_fleet import Manager
from tests.unit.agents.test_rolling import NEW, OLD, SPECS, running

NEWER = replace(NEW, image="swarmex:3")


class Replacing(Manager):
    """On such a runtime; each process is an agent of its own, as they are."""

    def __init__(self, runtime: MemoryRuntime | None = None) -> None:
        super().__init__(runtime or MemoryRuntime(replaces=True))

    def step(self, *wanted: FleetSpec, after_s: float = 0.5, sights: list[Sight] | None = None) -> list[str]:
        return super().step(*wanted, after_s=after_s, sights=self.sights() if sights is None else sights)

    def sights(self, *, but: str = "") -> list[Sight]:
        """All agents, but for one."""
        lives = self.runtime.lives
        return [sight(label, int(self.now_s * 2), life=lives[label]) for label in self.runtime.labels() if label != but]


@pytest.fixture
def manager() -> Replacing:
    """One that has started an entry of three."""
    manager = Replacing()
    manager.step(OLD)
    manager.step(OLD)
    return manager


def test_the_idle_one_whose_turn_it_is_is_replaced_and_a_busy_one_is_stopped() -> None:
    old = running(OLD, 0, 1, 2)
    assert diff([NEW], old, in_place=True) == Plan((), (), ((old[2], member_of(NEW, 2)),))
    some = {old[2].handle: 1}
    assert diff([NEW], old, (), some, in_place=True) == Plan((), (), ((old[1], member_of(NEW, 1)),))
    all_of_them = {one.handle: 1 for one in old}
    assert diff([NEW], old, (), all_of_them, in_place=True) == Plan((), (old[2],))


def test_a_runtime_without_a_roll_back_offers_none() -> None:
    [old] = running(OLD, 0)
    assert not StopsFirst().replaces
    with pytest.raises(NotImplementedError):
        StopsFirst().replace(old, member_of(NEW, 0))


def test_a_member_of_another_kind_is_stopped() -> None:
    old = running(replace(OLD, kind=AgentKind.PRICING), 0, 1, 2)
    assert diff([NEW], old, in_place=True) == Plan((), (old[2],))


def test_nobody_is_replaced_while_another_is_leaving_starting_missing_or_too_many() -> None:
    old = running(OLD, 0, 1)
    there = [*old, *running(NEW, 2)]
    assert diff([NEW], there, {there[2].handle}, in_place=True).replace == ()
    assert diff([NEW], there, starting={there[2].handle}, in_place=True) == Plan((), ())
    assert diff([NEW], old, in_place=True) == Plan((member_of(NEW, 2),), ())
    assert diff([replace(NEW, replicas=1)], old, in_place=True) == Plan((), (old[1],))


def test_an_entry_of_which_one_was_refused_is_left_as_it_is_until_it_is_changed_again() -> None:
    old = running(OLD, 0, 1, 2)
    refused = {member_of(NEW, 2)}
    assert diff([NEW], old, refused=refused, in_place=True) == Plan((), ())
    assert diff([NEWER], old, refused=refused, in_place=True).replace == ((old[2], member_of(NEWER, 2)),)
    other = replace(NEW, name="cloud")
    assert diff([other], running(replace(OLD, name="cloud"), 0, 1, 2), refused=refused, in_place=True).replace


@given(SPECS, SPECS)
def test_a_roll_in_place_ends_and_costs_nobody(before: FleetSpec, wanted: FleetSpec) -> None:
    actual = [Running(member, member.label, 0.0) for member in members_of([before])]
    fewest = min(len(actual), wanted.replicas)
    for turn in range(1 + wanted.replicas):
        plan = diff([wanted], actual, in_place=True)
        assert len(plan.replace) <= 1
        assert not {one.handle for one, _ in plan.replace} & {one.handle for one in plan.stop}
        gone = [*plan.stop, *(one for one, _ in plan.replace)]
        actual = [one for one in actual if one not in gone]
        came = [*plan.start, *(member for _, member in plan.replace)]
        actual += [Running(member, f"{member.label}.{turn}", 1.0) for member in came]
        assert len(actual) >= fewest
    assert diff([wanted], actual, in_place=True) == Plan((), ())


def test_a_manager_has_an_entry_replaced_one_after_another(manager: Replacing) -> None:
    calls = [call for _ in range(20) for call in manager.step(NEW)]
    assert calls == ["replace fog-2", "replace fog-1", "replace fog-0"]
    assert {one.member.image for one in manager.runtime.members.values()} == {"swarmex:2"}
    assert manager.notes == Notes(), "nobody died, and nobody had to be told"


def test_the_next_is_replaced_when_the_one_before_has_shown_itself(manager: Replacing) -> None:
    assert manager.step(NEW) == ["replace fog-2"]
    assert [call for _ in range(50) for call in manager.step(NEW, sights=manager.sights(but="fog-2"))] == []
    assert manager.step(NEW) == ["replace fog-1"]


def test_what_was_rolled_back_is_told_once_and_not_tried_again(manager: Replacing) -> None:
    assert manager.step(NEW) == ["replace fog-2"]
    manager.runtime.roll_back("fog-2")
    assert [call for _ in range(200) for call in manager.step(NEW)] == []
    assert manager.notes == Notes(rolled_back=["fog-2"])
    assert {one.member.image for one in manager.runtime.members.values()} == {None}


def test_after_another_change_it_is_tried_again_with_that(manager: Replacing) -> None:
    manager.step(NEW)
    manager.runtime.roll_back("fog-2")
    manager.step(NEW)
    calls = [call for _ in range(20) for call in manager.step(NEWER)]
    assert calls == ["replace fog-2", "replace fog-1", "replace fog-0"]
    assert manager.notes.rolled_back == ["fog-2"]


def test_a_change_that_is_taken_back_and_made_again_is_tried_again(manager: Replacing) -> None:
    manager.step(NEW)
    manager.runtime.roll_back("fog-2")
    for _ in range(3):
        assert manager.step(NEW) == []
    assert manager.step(OLD) == []
    assert manager.step(NEW) == ["replace fog-2"]


def test_a_manager_that_knows_nothing_tries_once_more(manager: Replacing) -> None:
    manager.step(NEW)
    manager.runtime.roll_back("fog-2")
    manager.step(NEW)
    successor = Replacing(manager.runtime)
    assert successor.step(NEW) == ["replace fog-2"]
    assert successor.notes.rolled_back == []
    manager.runtime.roll_back("fog-2")
    assert [call for _ in range(20) for call in successor.step(NEW)] == []
    assert successor.notes.rolled_back == ["fog-2"]


def test_what_runs_after_all_is_refused_no_more() -> None:
    rollouts, old, new = Rollouts(), running(OLD, 0, 1, 2), member_of(NEW, 2)
    rollouts.tried(new)
    assert rollouts.look([NEW], old) == []
    assert rollouts.look([NEW], [replace(one, rolled_back=True) for one in old]) == [new]
    assert rollouts.refused == {new}
    assert rollouts.look([NEW], [*old[:2], Running(new, "anew", 9.0)]) == []
    assert rollouts.refused == frozenset()


def test_a_busy_one_is_told_to_finish_and_started_anew(manager: Replacing) -> None:
    def busy(state: AgentState = AgentState.UP) -> list[str]:
        beat = int(manager.now_s * 2)
        others = [sight(f"fog-{number}", beat, held=2) for number in (0, 1)]
        return manager.step(NEW, sights=[*others, sight("fog-2", beat, held=1, state=state)])

    assert busy() == []
    assert busy(AgentState.DRAINING) == []
    manager.runtime.die("fog-2")
    assert manager.step(NEW, sights=[sight("fog-0", 9, held=2), sight("fog-1", 9, held=2)]) == ["start fog-2"]
    assert len(manager.notes.drained) == 1


def test_one_that_cannot_be_replaced_works_on_and_is_tried_ever_more_rarely(manager: Replacing) -> None:
    manager.runtime.fails = {"fog-2"}
    calls = [call for _ in range(100) for call in manager.step(NEW)]
    assert set(calls) == {"replace fog-2"}
    assert LOOP_DEATHS <= len(calls) <= 15
    assert manager.runtime.labels() == ["fog-0", "fog-1", "fog-2"]
    assert manager.notes.loops == [("fog-2", LOOP_DEATHS)]


def test_the_sick_are_killed_rather_than_replaced(manager: Replacing) -> None:
    [sick] = [one for one in manager.runtime.members.values() if one.member.label == "fog-2"]
    manager.runtime.health = {"fog-2": Health.UNHEALTHY}
    assert manager.step(NEW) == ["kill fog-2"]
    manager.runtime.health = {}
    assert [call for _ in range(3) for call in manager.step(NEW)][:1] == ["start fog-2"]
    assert manager.notes.ended == [sick.member.label]


def test_without_a_word_from_the_database_nobody_is_replaced(manager: Replacing) -> None:
    assert [call for _ in range(20) for call in manager.away(NEW)] == []


def test_a_superseded_manager_replaces_nobody(manager: Replacing) -> None:
    answers = iter([True, False])  # for the list, and for what was to follow
    older = Fleet(Guarded(manager.runtime, 1, lambda: next(answers)), Notes())
    with pytest.raises(Superseded):
        older.reconcile([NEW], manager.sights(), 1.5)
    assert manager.runtime.taken() == []
