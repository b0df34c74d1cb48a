"""A fleet moved step by step, on a runtime in memory and by a clock in the test's hand."""

from dataclasses import replace

import pytest

from agents.manager.departures import STOP_GRACE_S, TOLD_GRACE_S
from agents.manager.fleet import Fleet
from agents.manager.restarts import FIRST_S, LOOP_DEATHS, MAX_S
from agents.runtimes.guard import Guarded, Superseded
from backend.domain.fleet import DRAIN_MAX_S, AgentKind, AgentState, FleetSpec
from backend.domain.health import PROGRESS_MAX_S, SILENT_MAX_S, START_MAX_S, TICK_MAX_S, Health
from backend.storage.agents import Sight
from tests.unit.agents.runtime import MemoryRuntime, Notes, sight

API = FleetSpec("api", AgentKind.API)
POOL = FleetSpec("fog", AgentKind.INFERENCE, ("--pool", "fog"), 2)
ONE = FleetSpec("fog", AgentKind.INFERENCE, ("--pool", "fog"), 1)


class Manager:
    """A fleet and all that it needs."""

    def __init__(self, runtime: MemoryRuntime | None = None) -> None:
        self.runtime = runtime or MemoryRuntime()
        self.notes = Notes()
        self.fleet = Fleet(self.runtime, self.notes)
        self.now_s = 0.0

    def step(self, *wanted: FleetSpec, after_s: float = 0.5, sights: list[Sight] | None = None) -> list[str]:
        """One reconcile; the calls that it made. Agents that are not given are unknown; None: all beat."""
        self.now_s += after_s
        beat = int(self.now_s * 2)
        shown = [sight(label, beat) for label in self.runtime.labels()] if sights is None else sights
        self.fleet.reconcile(wanted, shown, self.now_s)
        return self.runtime.taken()

    def away(self, *wanted: FleetSpec) -> list[str]:
        """One reconcile while the database is away."""
        self.now_s += 0.5
        self.fleet.reconcile(wanted, None, self.now_s)
        return self.runtime.taken()


@pytest.fixture
def manager() -> Manager:
    """One that has started a pool of two."""
    manager = Manager()
    assert manager.step(POOL) == ["start fog-0", "start fog-1"]
    assert manager.step(POOL) == []
    return manager


def test_a_restarted_manager_touches_nobody_who_is_well(manager: Manager) -> None:
    successor = Manager(manager.runtime)
    for _ in range(5):
        assert successor.step(POOL) == []
    assert successor.notes == Notes()


def test_who_died_is_told_of_at_once_and_started_again_after_a_pause(manager: Manager) -> None:
    manager.runtime.die("fog-1")
    assert manager.step(POOL, after_s=0.1) == []
    assert manager.notes.ended == ["fog-1"]
    assert manager.step(POOL, after_s=FIRST_S) == ["start fog-1"]


def test_one_that_keeps_dying_is_a_crash_loop_told_once_and_never_given_up() -> None:
    manager = Manager()
    starts = 0
    while manager.now_s < 200.0:
        starts += len(manager.step(ONE, sights=[]))
        if manager.runtime.members:
            manager.runtime.die("fog-0")
    assert manager.notes.loops == [("fog-0", LOOP_DEATHS)]
    assert starts >= 200.0 / (MAX_S + 1)


def test_one_that_cannot_be_started_pauses_like_one_that_dies(manager: Manager) -> None:
    manager.runtime.fails = {"api-0"}
    calls = [call for _ in range(100) for call in manager.step(POOL, API)]
    assert 3 <= len(calls) <= 15
    assert set(calls) == {"start api-0"}
    assert manager.notes.loops == [("api-0", LOOP_DEATHS)]


def test_of_two_the_idle_one_leaves_and_is_told_in_time_to_finish(manager: Manager) -> None:
    busy, idle = sight("fog-0", 9, held=3), sight("fog-1", 9)
    assert manager.step(ONE, sights=[busy, idle]) == []
    assert manager.notes.drained == [idle.id]
    gone = sight("fog-1", 10, state=AgentState.DRAINING)
    assert manager.step(ONE, sights=[busy, gone]) == []
    manager.runtime.die("fog-1")
    assert manager.step(ONE, sights=[busy]) == []
    assert manager.runtime.labels() == ["fog-0"]
    assert manager.notes.drained == [idle.id]


def test_the_number_of_the_one_that_stays_may_be_any(manager: Manager) -> None:
    idle, busy = sight("fog-0", 9), sight("fog-1", 9, held=3)
    manager.step(ONE, sights=[idle, busy])
    manager.runtime.die("fog-0")
    assert manager.step(ONE, sights=[busy]) == []
    assert manager.step(POOL, sights=[busy]) == ["start fog-0"], "and is given again when there are to be two"


def test_a_busy_one_is_waited_for_and_only_asked_when_its_hands_are_empty(manager: Manager) -> None:
    waited_s = 0.0
    while waited_s < DRAIN_MAX_S - 10:
        busy = [sight(label, int(manager.now_s * 2), held=1, state=AgentState.DRAINING) for label in ("fog-0", "fog-1")]
        assert manager.step(sights=busy, after_s=1.0) == []
        waited_s += 1.0
    idle = [sight("fog-0", 1, state=AgentState.DRAINING), sight("fog-1", 1, held=1, state=AgentState.DRAINING)]
    assert manager.step(sights=idle, after_s=TOLD_GRACE_S) == ["ask fog-0"]


def test_one_that_holds_on_for_ever_is_asked_and_killed_at_last(manager: Manager) -> None:
    manager.runtime.stubborn = True
    calls = []
    for _ in range(int(2 * (DRAIN_MAX_S + STOP_GRACE_S + 5))):
        held = [sight(label, int(manager.now_s * 2), held=1) for label in manager.runtime.labels()]
        calls += manager.step(ONE, sights=held)
    assert calls == ["ask fog-1", "kill fog-1"]


def test_an_agent_that_does_not_serve_nodes_is_asked_at_once_and_killed_after_its_grace() -> None:
    manager = Manager()
    manager.step(API)
    manager.runtime.stubborn = True
    assert manager.step() == ["ask api-0"]
    assert manager.step(after_s=STOP_GRACE_S) == []
    assert manager.step(after_s=1.0) == ["kill api-0"]
    assert manager.step() == []
    assert manager.notes.ended == ["api-0"]


def test_an_operators_drain_is_followed_and_another_started_without_a_pause(manager: Manager) -> None:
    draining = sight("fog-0", 9, state=AgentState.DRAINING)
    assert manager.step(POOL, sights=[draining, sight("fog-1", 9)]) == []
    manager.runtime.die("fog-0")
    assert manager.step(POOL, after_s=0.01, sights=[sight("fog-1", 9)]) == ["start fog-0"]


def test_one_that_falls_silent_is_killed_told_of_and_replaced(manager: Manager) -> None:
    calls = []
    while manager.now_s < SILENT_MAX_S + 5:
        calls += manager.step(POOL, sights=[sight("fog-0", 1), sight("fog-1", int(manager.now_s * 2))])
    assert calls == ["kill fog-0", "start fog-0"]
    assert manager.notes.ended == ["fog-0"]


def test_one_whose_container_is_unhealthy_is_killed_and_replaced(manager: Manager) -> None:
    manager.runtime.health = {"fog-1": Health.UNHEALTHY}
    assert manager.step(POOL) == ["kill fog-1"]
    manager.runtime.health = {}
    assert [call for _ in range(3) for call in manager.step(POOL)] == ["start fog-1"]


def test_one_that_never_shows_itself_is_killed_in_the_end() -> None:
    manager = Manager()
    manager.step(ONE)
    calls = []
    while manager.now_s < START_MAX_S + 2:
        calls += manager.step(ONE, sights=[])
    assert calls[0] == "kill fog-0"


def test_while_the_database_is_away_the_dead_are_started_and_nobody_is_judged_or_sent_away(manager: Manager) -> None:
    for _ in range(int(4 * SILENT_MAX_S)):
        assert manager.away(ONE, API) in ([], ["start api-0"])
    manager.runtime.die("fog-0")
    calls = [call for _ in range(4) for call in manager.away(ONE, API)]
    assert calls == [], "one of the pool is wanted, and one is there"
    assert manager.notes.ended == ["fog-0"]
    calls = [call for _ in range(4) for call in manager.away(POOL, API)]
    assert calls == ["start fog-0"]
    assert manager.step(POOL, API) == [], "and the silence of that time is forgiven"


def test_orphans_are_seen_off_and_those_that_are_wanted_again_adopted(manager: Manager) -> None:
    successor = Manager(manager.runtime)
    assert successor.step(API) == ["start api-0"]
    assert len(successor.notes.drained) == 2
    adopting = Manager(manager.runtime)
    assert adopting.step(API, POOL) == []


def test_a_superseded_manager_makes_no_call_at_all() -> None:
    runtime, current = MemoryRuntime(), [True]
    fleet = Fleet(Guarded(runtime, 1, lambda: current[0]), Notes())
    fleet.reconcile([POOL], [], 0.5)
    assert runtime.taken() == ["start fog-0", "start fog-1"]
    current[0] = False
    for wanted in ([], [POOL, API]):
        with pytest.raises(Superseded):
            fleet.reconcile(wanted, [], 1.0)
    with pytest.raises(Superseded):
        fleet.stop_all()
    assert runtime.taken() == []


def test_the_older_of_two_managers_stops_between_two_calls_of_one_step() -> None:
    runtime = MemoryRuntime()
    fleet = Fleet(Guarded(runtime, 1, lambda: not runtime.calls), Notes())
    with pytest.raises(Superseded):
        fleet.reconcile([POOL], [], 0.5)
    assert runtime.taken() == ["start fog-0"], "the newer one took over after the first"


def test_one_whose_loop_hangs_is_killed_though_it_beats(manager: Manager) -> None:
    hung = replace(sight("fog-0", 5), tick_age_ms=int(TICK_MAX_S * 1_000) + 1)
    assert manager.step(POOL, sights=[hung, sight("fog-1", 5)]) == ["kill fog-0"]


def test_one_that_beats_and_does_none_of_the_work_that_waits_is_killed_and_its_neighbour_that_works_is_not(
    manager: Manager,
) -> None:
    calls = []
    while manager.now_s < PROGRESS_MAX_S + 3:
        beat = int(manager.now_s * 2)
        idle = replace(sight("fog-0", beat), work_done=7, queue_waits=True)
        works = replace(sight("fog-1", beat), queue_waits=True)
        calls += manager.step(POOL, sights=[idle, works])
        if calls:
            break
    assert calls == ["kill fog-0"]
