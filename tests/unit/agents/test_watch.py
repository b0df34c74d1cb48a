"""How long agents were silent or idle, as one who watched saw it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from agents.manager.watch import Watch
from agents.runtimes.base import Member, Running
from backend.domain.fleet import AgentKind, AgentState
from backend.domain.health import Health
from backend.domain.ids import AgentId
from backend.storage.agents import Sight

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUNNING = Running(Member("fog", 0, AgentKind.INFERENCE), "h", 0.0)
SIGHT = Sight(AgentId(UUID(int=1)), "fog-0", AgentState.UP, NOW, 5, False, 100, 0, 0, False)


def beats(sight: Sight, number: int, **changes: object) -> Sight:
    """Its beat of that number."""
    return replace(sight, beat_at=NOW + timedelta(seconds=number), **changes)  # type: ignore[arg-type]  # its fields


def test_silence_is_the_time_since_the_last_beat_that_differed() -> None:
    watch = Watch()
    for second in range(5):
        watch.look([beats(SIGHT, min(second, 2))], [RUNNING], float(second))
    assert watch.signs(RUNNING, 4.0).silent_s == 2.0


def test_time_in_which_nobody_watched_is_nobodys_fault() -> None:
    watch = Watch()
    watch.look([SIGHT], [RUNNING], 0.0)
    watch.look([SIGHT], [RUNNING], 1.0)
    watch.look([SIGHT], [RUNNING], 61.0)
    signs = watch.signs(RUNNING, 61.0)
    assert signs.silent_s == 1.0
    assert signs.age_s == 1.0


def test_a_new_agent_of_the_name_begins_anew() -> None:
    watch = Watch()
    for second in range(3):
        watch.look([replace(SIGHT, queue_waits=True)], [RUNNING], float(second))
    watch.look([replace(SIGHT, id=AgentId(UUID(int=2)), queue_waits=True)], [RUNNING], 3.0)
    signs = watch.signs(RUNNING, 3.0)
    assert (signs.silent_s, signs.unmoved_s) == (0.0, 0.0)


def test_one_with_work_and_none_done_is_unmoved_and_one_that_gets_something_done_is_not() -> None:
    for work in ({"held": 1, "held_us": 9}, {"queue_waits": True}, {"work_waiting": True}):
        watch = Watch()
        for second in range(4):
            watch.look([beats(SIGHT, second, **work)], [RUNNING], float(second))
        assert watch.signs(RUNNING, 3.0).unmoved_s == 3.0
        watch.look([beats(SIGHT, 4, work_done=6, **work)], [RUNNING], 4.0)
        assert watch.signs(RUNNING, 4.0).unmoved_s == 0.0


def test_one_without_work_is_never_unmoved() -> None:
    watch = Watch()
    for second in range(4):
        watch.look([beats(SIGHT, second)], [RUNNING], float(second))
    assert watch.signs(RUNNING, 3.0).unmoved_s == 0.0


def test_one_that_never_registered_is_only_of_some_age() -> None:
    watch = Watch()
    watch.look([], [RUNNING], 0.0)
    watch.look([], [RUNNING], 1.0)
    signs = watch.signs(RUNNING, 1.0)
    assert (signs.age_s, signs.silent_s, signs.tick_s) == (1.0, None, None)
    assert watch.sight(RUNNING) is None


def test_what_the_runtime_and_the_loop_say_is_passed_on() -> None:
    watch = Watch()
    sick = replace(RUNNING, health=Health.UNHEALTHY)
    watch.look([replace(SIGHT, held=2, held_us=7)], [sick], 0.0)
    signs = watch.signs(sick, 0.0)
    assert (signs.container.value, signs.tick_s, signs.held_us) == ("unhealthy", 0.1, 7)
    assert watch.held([sick]) == {"h": 2}
    watch.look([replace(SIGHT, tick_age_ms=None)], [RUNNING], 1.0)
    assert watch.signs(RUNNING, 1.0).tick_s is None
    assert watch.held([RUNNING]) == {}


def test_a_new_process_is_not_judged_by_the_row_that_its_predecessor_left() -> None:
    watch = Watch()
    watch.look([SIGHT], [RUNNING], 0.0)
    watch.look([SIGHT], [], 1.0)
    successor = replace(RUNNING, handle="h2")
    for second in range(2, 5):
        watch.look([SIGHT], [successor], float(second))
        assert watch.signs(successor, float(second)).silent_s is None
    own = replace(SIGHT, id=AgentId(UUID(int=2)))
    watch.look([own], [successor], 5.0)
    assert watch.sight(successor) == own
