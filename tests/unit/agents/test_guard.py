"""A manager that has been succeeded touches nothing."""

from collections.abc import Callable, Iterator

import pytest

from agents.runtimes.base import Member, Running
from agents.runtimes.guard import Guarded, Superseded
from backend.domain.fleet import AgentKind

MEMBER = Member("m", 0, AgentKind.PRICING)
RUNNING = Running(MEMBER, "1", 1.0)


class Recorder:
    """A runtime that notes what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def list(self) -> list[Running]:
        self.calls.append("list")
        return [RUNNING]

    def start(self, member: Member) -> Running:
        self.calls.append("start")
        return Running(member, "2", 2.0)

    def ask_to_stop(self, running: Running) -> None:
        self.calls.append("ask_to_stop")

    replaces = True

    def replace(self, running: Running, member: Member) -> Running:
        self.calls.append("replace")
        return Running(member, "3", 3.0)

    def kill(self, running: Running) -> None:
        self.calls.append("kill")

    def logs(self, running: Running, lines: int) -> Iterator[str]:
        self.calls.append("logs")
        return iter(["line"])

    def tidy(self) -> None:
        self.calls.append("tidy")


CALLS: dict[str, Callable[[Guarded], object]] = {
    "list": lambda runtime: runtime.list(),
    "start": lambda runtime: runtime.start(MEMBER),
    "ask_to_stop": lambda runtime: runtime.ask_to_stop(RUNNING),
    "replace": lambda runtime: runtime.replace(RUNNING, MEMBER),
    "kill": lambda runtime: runtime.kill(RUNNING),
    "logs": lambda runtime: list(runtime.logs(RUNNING, 1)),
    "tidy": lambda runtime: runtime.tidy(),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_call_reaches_the_runtime_while_the_manager_is_the_one(call: str) -> None:
    recorder = Recorder()
    CALLS[call](Guarded(recorder, 3, lambda: True))
    assert recorder.calls == [call]


@pytest.mark.parametrize("call", CALLS)
def test_no_call_does_once_there_is_a_newer_one(call: str) -> None:
    recorder = Recorder()
    with pytest.raises(Superseded) as superseded:
        CALLS[call](Guarded(recorder, 3, lambda: False))
    assert superseded.value.generation == 3
    assert recorder.calls == []
