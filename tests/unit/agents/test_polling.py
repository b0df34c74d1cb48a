"""The consumer that polls: it outlives the coordinator's silence, and begins nothing after a stop."""

from threading import Event
from uuid import UUID

from agents.inference.polling import PollingConsumer
from agents.inference.runner import UnitReport
from backend.domain.ids import UnitId
from tests.waiting import FOREVER_S, PATIENCE_S

UNIT = UnitId(UUID(int=1))


class Coordinator:
    """Answers polls as told; then it leaves the question open until the test ends."""

    def __init__(self, *answers: list[UnitId] | Exception) -> None:
        self.answers = list(answers)
        self.asked = Event()  # when nothing is left to answer
        self.ended = Event()
        self.answered = False

    def poll(self) -> list[UnitId]:
        if not self.answers:
            self.asked.set()
            self.ended.wait(FOREVER_S)
            self.answered = True
            return [UNIT]
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_units_are_run_and_errors_waited_out() -> None:
    coordinator = Coordinator(OSError("away"), [UNIT], [], [UNIT, UNIT])
    ran: list[UnitId] = []

    def run(unit: UnitId) -> UnitReport:
        ran.append(unit)
        if len(ran) == 1:
            raise OSError("away again")
        return UnitReport(1, 1, 0)

    consumer = PollingConsumer(coordinator, run)
    consumer.start()
    assert coordinator.asked.wait(PATIENCE_S)
    assert len(ran) == 3
    consumer.stop()
    coordinator.ended.set()


def test_a_stop_does_not_wait_for_an_open_question_and_what_it_brings_is_not_begun() -> None:
    coordinator = Coordinator()
    ran: list[UnitId] = []

    def run(unit: UnitId) -> UnitReport:
        ran.append(unit)
        return UnitReport(1, 1, 0)

    consumer = PollingConsumer(coordinator, run)
    consumer.start()
    assert coordinator.asked.wait(PATIENCE_S)
    consumer.stop()
    assert consumer.join(PATIENCE_S)
    assert not coordinator.answered
    coordinator.ended.set()
    consumer._thread.join(PATIENCE_S)
    assert not consumer._thread.is_alive()
    assert ran == []


def test_a_unit_that_runs_is_waited_for() -> None:
    coordinator = Coordinator([UNIT])
    begun, may_end = Event(), Event()

    def run(_: UnitId) -> UnitReport:
        begun.set()
        may_end.wait(PATIENCE_S)
        return UnitReport(1, 1, 0)

    consumer = PollingConsumer(coordinator, run)
    consumer.start()
    assert begun.wait(PATIENCE_S)
    consumer.stop()
    assert not consumer.join(0.05)
    may_end.set()
    assert consumer.join(PATIENCE_S)
    coordinator.ended.set()
