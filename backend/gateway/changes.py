"""What this process has cached is true for half a second at most: one poller of the coordinator's change counters."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress

import structlog

from backend.domain.errors import Unavailable
from backend.gateway.errors import code_of
from backend.gateway.limits import FAIL_CLOSED_S, POLL_S
from backend.gateway.threads import Threads

log = structlog.get_logger(__name__)


class Changes:
    """Polls the counters, empties the caches whose counter moved, and tells when the answers are too old to serve by.

    A counter moves in the transaction that changes its facts. The bus only makes a poll come sooner.
    """

    def __init__(
        self,
        read: Callable[[], Mapping[str, int]],
        threads: Threads,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._threads = threads
        self._clock = clock
        self._forget: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)
        self._versions: dict[str, int] = {}
        self._answered_at: float | None = None
        self._hint = asyncio.Event()

    def watch(self, kind: str, forget: Callable[[], None]) -> None:
        """Call `forget` whenever the counter `kind` moved."""
        self._forget[kind].append(forget)

    def hint(self) -> None:
        """Something may have changed: poll now."""
        self._hint.set()

    @property
    def fresh(self) -> bool:
        """Whether the last answer is young enough to serve by."""
        return self._answered_at is not None and self._clock() - self._answered_at <= FAIL_CLOSED_S

    def require_fresh(self) -> None:
        """Raise Unavailable(`coordinator_unreachable`) when the last answer is too old: keys may have been revoked."""
        if not self.fresh:
            raise Unavailable("the coordinator does not answer", code="coordinator_unreachable")

    async def poll(self) -> None:
        """Ask once; raises what the coordinator's silence raises."""
        asked_at = self._clock()
        versions = dict(await self._threads.run(self._read))
        for kind, version in versions.items():
            if self._versions.get(kind) != version:
                for forget in self._forget[kind]:
                    forget()
        # The answer was true at some moment after the question, so its age counts from there.
        self._versions, self._answered_at = versions, asked_at

    async def look(self) -> None:
        """Poll, and go on with what was known when the coordinator is silent."""
        self._hint.clear()
        try:
            await self.poll()
        except Exception as error:
            log.warning("changes_unknown", code=code_of(error))

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            # Not `wait_for`: Python 3.11's loses a cancellation that comes with the hint, and this would never end.
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._hint.wait()
