"""A runtime in memory, and a coordinator that takes notes: what a fleet is moved with in unit tests."""

import builtins
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from agents.runtimes.base import Member, Running
from backend.domain.fleet import AgentState
from backend.domain.health import Health
from backend.domain.ids import AgentId
from backend.storage.agents import Sight

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class MemoryRuntime:
    """Members as records; who is asked to stop does so at once unless stubborn."""

    members: dict[str, Running] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    stubborn: bool = False
    fails: set[str] = field(default_factory=set)
    health: dict[str, Health] = field(default_factory=dict)
    replaces: bool = False
    replaced: dict[str, Running] = field(default_factory=dict)
    rolled_back: set[str] = field(default_factory=set)
    lives: dict[str, int] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def list(self) -> builtins.list[Running]:
        return [
            replace(
                one,
                health=self.health.get(one.member.label, Health.UNKNOWN),
                rolled_back=one.handle in self.rolled_back,
            )
            for one in self.members.values()
        ]

    def start(self, member: Member) -> Running:
        self.calls.append(f"start {member.label}")
        if member.label in self.fails:
            raise OSError("no")
        number = next(self.numbers)
        running = Running(member, f"h{number}", float(number))
        self._live(running)
        return running

    def ask_to_stop(self, running: Running) -> None:
        self.calls.append(f"ask {running.member.label}")
        if not self.stubborn:
            self.members.pop(running.handle, None)

    def replace(self, running: Running, member: Member) -> Running:
        self.calls.append(f"replace {member.label}")
        if member.label in self.fails:
            raise OSError("no")
        successor = Running(member, f"h{next(self.numbers)}", running.started_s)
        del self.members[running.handle]
        self._live(successor)
        self.replaced[successor.handle] = running
        return successor

    def roll_back(self, label: str) -> None:
        """What took a place last did not get well."""
        [handle] = [one.handle for one in self.members.values() if one.member.label == label]
        before = self.replaced.pop(handle)
        del self.members[handle]
        self._live(before)
        self.rolled_back.add(before.handle)

    def kill(self, running: Running) -> None:
        self.calls.append(f"kill {running.member.label}")
        self.members.pop(running.handle, None)

    def logs(self, running: Running, lines: int) -> Iterator[str]:
        return iter(())

    def tidy(self) -> None:
        pass

    def die(self, label: str) -> None:
        """It ends by itself."""
        [handle] = [one.handle for one in self.members.values() if one.member.label == label]
        del self.members[handle]

    def _live(self, running: Running) -> None:
        self.members[running.handle] = running
        self.lives[running.member.label] = next(self.numbers)

    def labels(self) -> builtins.list[str]:
        """Who runs."""
        return sorted(one.member.label for one in self.members.values())

    def taken(self) -> builtins.list[str]:
        """The calls since it was asked last."""
        calls, self.calls = self.calls, []
        return calls


@dataclass
class Notes:
    """A coordinator that remembers what it was told."""

    drained: list[AgentId] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    loops: list[tuple[str, int]] = field(default_factory=list)
    rolled_back: list[str] = field(default_factory=list)

    def drain_agent(self, agent_id: AgentId) -> None:
        self.drained.append(agent_id)

    def gone(self, member: Member) -> None:
        self.ended.append(member.label)

    def on_crash_loop(self, member: Member, deaths: int) -> None:
        self.loops.append((member.label, deaths))

    def on_rolled_back(self, member: Member) -> None:
        self.rolled_back.append(member.label)


def sight(label: str, beat: int = 0, *, held: int = 0, state: AgentState = AgentState.UP, life: int = 0) -> Sight:
    """An agent of that name, at its beat of that number; its id follows from its name and its life."""
    number = int.from_bytes(label.encode()[-8:], "big") + (life << 64)
    at = NOW.replace(second=beat % 60, minute=beat // 60 % 60)
    return Sight(AgentId(UUID(int=number)), label, state, at, beat, False, 0, held, held, False)
