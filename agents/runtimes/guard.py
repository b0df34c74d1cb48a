"""Keeps a manager that has been succeeded from touching what is its successor's now."""

import builtins
from collections.abc import Callable, Iterator

from agents.runtimes.base import Member, Running, Runtime
from backend.domain.errors import Conflict


class Superseded(Conflict):
    """A newer manager keeps this fleet; the older one has to end."""

    def __init__(self, generation: int) -> None:
        super().__init__(
            f"a newer manager keeps this fleet; this one is of generation {generation}", code="manager_superseded"
        )
        self.generation = generation


class Guarded:
    """A runtime that asks before each call whether its manager is still the one; raises Superseded if not."""

    def __init__(self, runtime: Runtime, generation: int, is_current: Callable[[], bool]) -> None:
        self._runtime = runtime
        self._generation = generation
        self._is_current = is_current

    def list(self) -> builtins.list[Running]:
        return self._checked().list()

    def start(self, member: Member) -> Running:
        return self._checked().start(member)

    def ask_to_stop(self, running: Running) -> None:
        self._checked().ask_to_stop(running)

    @property
    def replaces(self) -> bool:
        return self._runtime.replaces

    def replace(self, running: Running, member: Member) -> Running:
        return self._checked().replace(running, member)

    def kill(self, running: Running) -> None:
        self._checked().kill(running)

    def logs(self, running: Running, lines: int) -> Iterator[str]:
        return self._checked().logs(running, lines)

    def tidy(self) -> None:
        self._checked().tidy()

    def _checked(self) -> Runtime:
        if not self._is_current():
            raise Superseded(self._generation)
        return self._runtime
