"""What a runtime must offer to the manager: processes here, containers or a cluster elsewhere."""

import builtins
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from backend.domain.fleet import AgentKind, Resources
from backend.domain.health import Health

MemberKey = tuple[str, int]
LOG_LINES_MAX = 10_000  # that one call of `logs` gives


@dataclass(frozen=True, slots=True)
class Member:
    """One replica of a fleet entry."""

    name: str
    number: int
    kind: AgentKind
    arguments: tuple[str, ...] = ()
    image: str | None = None  # None is the runtime's own
    resources: Resources | None = None

    @property
    def key(self) -> MemberKey:
        """What identifies it, however its kind and arguments may change."""
        return self.name, self.number

    @property
    def label(self) -> str:
        """Its name for people, logs and files."""
        return f"{self.name}-{self.number}"


@dataclass(frozen=True, slots=True)
class Running:
    """A member that is there; `handle` means something to its runtime only."""

    member: Member
    handle: str
    started_s: float  # on a clock of the runtime's: the smaller, the older
    health: Health = field(default=Health.UNKNOWN, compare=False)
    rolled_back: bool = field(default=False, compare=False)  # what was to take its place last did not get well


class Runtime(Protocol):
    """Members carry labels to be found by, so a runtime remembers nothing that it could not find again."""

    def list(self) -> builtins.list[Running]:
        """Every member of this fleet that runs, whoever started it."""
        ...

    def start(self, member: Member) -> Running:
        """Start a member; raises OSError or SwarmexError when that cannot be done now."""
        ...

    def ask_to_stop(self, running: Running) -> None:
        """Ask it to drain and end; returns at once. No error if it has ended."""
        ...

    @property
    def replaces(self) -> bool:
        """Whether it offers `replace`; else a member is stopped, and then another is started."""
        ...

    def replace(self, running: Running, member: Member) -> Running:
        """Let `member` take the place of one of its number, which is asked to end first; returns at once.

        One that does not get well is rolled back by the runtime: then `running` is there again, and says so. Raises
        OSError or SwarmexError when it cannot be done now; then everything is as it was.
        """
        ...

    def kill(self, running: Running) -> None:
        """End it, and all that it started, at once; no error if it has ended."""
        ...

    def logs(self, running: Running, lines: int) -> Iterator[str]:
        """Its last lines, LOG_LINES_MAX at most, the oldest first; nothing if they are gone."""
        ...

    def tidy(self) -> None:
        """Keep within bounds what members leave behind, such as their logs."""
        ...


class StopsFirst:
    """The part of a runtime that has no roll-back of its own."""

    replaces = False

    def replace(self, running: Running, member: Member) -> Running:
        raise NotImplementedError(f"{type(self).__name__} does not replace members")
