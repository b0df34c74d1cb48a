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

    def kill(self, running: Running) -> None:
        """End it, and all that it started, at once; no error if it has ended."""
        ...

    def logs(self, running: Running, lines: int) -> Iterator[str]:
        """Its last lines, LOG_LINES_MAX at most, the oldest first; nothing if they are gone."""
        ...

    def tidy(self) -> None:
        """Keep within bounds what members leave behind, such as their logs."""
        ...
