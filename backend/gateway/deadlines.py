"""Time limits of many requests at once, at next to no cost for those that keep them.

`asyncio.timeout` sets a timer each time that a limit is set or moved, which took a tenth of the gateway's own time for
a request. Here one timer looks at all limits, every TICK_S while there are any: so much later than said may they end.
"""

import asyncio
from math import inf
from types import TracebackType
from typing import Self

TICK_S = 0.05


class Deadlines:
    """Those of one event loop, inside which it is made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._open: set[Deadline] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def here(self) -> bool:
        """Whether it is of the event loop that runs now."""
        return self._loop is asyncio.get_running_loop()

    def within(self, seconds: float) -> "Deadline":
        """A limit so far from now, which holds for its block; TimeoutError leaves a block that did not keep it."""
        return Deadline(self, self._loop.time() + seconds)

    def add(self, deadline: "Deadline") -> None:
        """Watch it."""
        self._open.add(deadline)
        if self._timer is None:
            self._timer = self._loop.call_later(TICK_S, self._tick)

    def remove(self, deadline: "Deadline") -> None:
        """Watch it no more."""
        self._open.discard(deadline)

    def _tick(self) -> None:
        now_s = self._loop.time()
        for deadline in [deadline for deadline in self._open if deadline.when_s <= now_s]:
            self._open.discard(deadline)
            deadline.expire()
        self._timer = self._loop.call_later(TICK_S, self._tick) if self._open else None


class Deadline:
    """A limit that may be moved while it holds; used once, by one task."""

    __slots__ = ("_cancelling", "_deadlines", "_task", "expired", "when_s")

    def __init__(self, deadlines: Deadlines, when_s: float) -> None:
        self._deadlines = deadlines
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self.expired = False
        self.when_s = when_s

    def move(self, when_s: float | None) -> None:
        """It ends at another time of the loop, or never; one that has ended stays so."""
        self.when_s = inf if when_s is None else when_s

    def expire(self) -> None:
        """Cancel what is inside of it."""
        self.expired = True
        assert self._task is not None, "only what was entered is watched"
        self._task.cancel()

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None, "only tasks can be cancelled"
        self._cancelling = self._task.cancelling()
        self._deadlines.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        self._deadlines.remove(self)
        if not self.expired or task is None:
            return
        # As asyncio.timeout: who else cancelled the task is not to be disappointed.
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
