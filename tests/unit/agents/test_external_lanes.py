"""Units of one server, several at once."""

from threading import Barrier, Event

import pytest

from agents.external import lanes
from agents.external.lanes import Feed, Lanes
from agents.inference.runner import UnitReport
from backend.domain.ids import UnitId
from backend.storage.ids import new_id
from tests.waiting import PATIENCE_S, until


def test_units_run_at_once_and_each_is_handed_out_once() -> None:
    waiting = [[UnitId(new_id()), UnitId(new_id())], []]
    bell, together = Event(), Barrier(2)
    ran: list[UnitId] = []

    def run(unit_id: UnitId) -> UnitReport:
        together.wait(PATIENCE_S)  # for one that runs beside it
        ran.append(unit_id)
        return UnitReport(1, 1, 0)

    found = list(waiting[0])
    running = Lanes(Feed(lambda: waiting.pop(0) if waiting else [], bell), [run, run])
    running.start()
    bell.set()
    until(lambda: len(ran) == 2, "both ran")
    assert sorted(ran) == sorted(found)
    running.stop()
    assert running.join(PATIENCE_S)


def test_what_a_claim_left_of_a_unit_is_asked_for_without_another_bell() -> None:
    unit, asked = UnitId(new_id()), [3]
    bell = Event()

    def units() -> list[UnitId]:
        asked[0] -= 1
        return [unit] if asked[0] else []

    feed = Feed(units, bell)
    bell.set()
    assert [feed.poll() for _ in range(2)] == [[unit], [unit]]
    assert not bell.is_set()


def test_without_a_bell_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "POLL_S", 0.01)
    asked: list[int] = []

    def units() -> list[UnitId]:
        asked.append(1)
        return []

    assert Feed(units, Event()).poll() == []
    assert asked == []
