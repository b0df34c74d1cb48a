"""One listener on the bus: it waits, reconnects, says what it may have missed, and never fails its owner."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from random import uniform
from threading import Event as Flag
from threading import Lock
from time import monotonic
from typing import Protocol

import structlog

from backend.domain.events import Audience, Event
from backend.messaging.codec import UndecodableEvent, decode, unpack
from backend.messaging.losses import Loss, Losses

EVENTS_MAX = 4_000  # handed over by one wait: the newest of what has piled up
READ_S = 0.25  # a close is noticed within this time
RETRY_FIRST_S = 0.1
RETRY_MAX_S = 2.0

OnResync = Callable[[datetime], None]

log = structlog.get_logger(__name__)


class Feed(Protocol):
    """A connection to the server that can be lost and opened again. All may raise OSError when it is away."""

    @property
    def connected(self) -> bool:
        """Whether the server is believed to be listening for us."""
        ...

    @property
    def heard_until(self) -> datetime:
        """Nothing that was published before this moment was missed (UTC); at first, when the feed was made."""
        ...

    def open(self, channels: Sequence[str]) -> None:
        """Connect; returns when the server has confirmed that it listens for us."""
        ...

    def read(self, timeout_s: float) -> list[bytes]:
        """Frames that are there, oldest first, a bounded number of them; waits for the first one."""
        ...

    def close(self) -> None:
        """Disconnect; never raises."""
        ...


class Subscription:
    """Events of some channels. One thread waits at a time; any thread may close. It counts in `losses` what is lost."""

    def __init__(
        self,
        feed: Feed,
        channels: Sequence[str],
        audience: Audience,
        losses: Losses,
        on_resync: OnResync | None = None,
    ) -> None:
        self._feed = feed
        self._channels = channels
        self._audience = audience
        self._on_resync = on_resync
        self._closed = Flag()
        self._reading = Lock()
        self._retry_s = RETRY_FIRST_S
        self._retry_at = 0.0
        self._resync_since: datetime | None = None
        self._losses = losses

    @property
    def connected(self) -> bool:
        """Whether the server is believed to be listening for us."""
        return self._feed.connected

    def wait(self, timeout_s: float) -> tuple[Event, ...]:
        """Events as soon as there are any; an empty tuple after `timeout_s`. Redis may be away meanwhile.

        Also returns at once, perhaps with nothing, when `on_resync` was called. What that raises is raised here,
        and it is called again by the next wait.
        """
        deadline = monotonic() + timeout_s
        while not self._closed.is_set():
            left_s = max(0.0, deadline - monotonic())
            with self._reading:
                events = self._read(min(left_s, READ_S))
            if self._resynced() or events or left_s == 0.0:
                return tuple(events)
        return ()

    def close(self) -> None:
        """End the current wait within READ_S and disconnect."""
        self._closed.set()
        with self._reading:
            self._feed.close()

    def _read(self, timeout_s: float) -> list[Event]:
        """What arrives within `timeout_s`; nothing while the server is away."""
        if self._closed.is_set():
            return []
        try:
            if not self._feed.connected:
                self._connect(timeout_s)
                return []
            since = self._feed.heard_until
            frames = self._feed.read(timeout_s)
        except OSError as error:
            if self._retry_s == RETRY_FIRST_S:  # not each time that it is tried again
                log.info("bus.disconnected", error=repr(error))
            self._feed.close()
            self._retry_at = monotonic() + uniform(0.5, 1.0) * self._retry_s  # noqa: S311  # jitter, not a secret
            self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)
            return []
        return self._events(self._newest(frames, since)) if frames else []

    def _connect(self, timeout_s: float) -> None:
        """Connect, unless it is too early to try again, or there is nothing to hear: then wait up to `timeout_s`."""
        pause_s = self._retry_at - monotonic() if self._channels else timeout_s
        if pause_s > 0 or not self._channels:
            self._closed.wait(min(pause_s, timeout_s))
            return
        since = self._feed.heard_until
        self._feed.open(self._channels)
        self._retry_s = RETRY_FIRST_S
        self._resync_since = self._resync_since or since

    def _resynced(self) -> bool:
        """Let the owner read what it missed, if it may have missed anything; whether it was asked to."""
        since = self._resync_since
        if since is None or self._on_resync is None or self._closed.is_set():
            return False
        self._on_resync(since)
        self._resync_since = None
        return True

    def _newest(self, frames: Iterable[bytes], since: datetime) -> Iterable[bytes]:
        """The newest EVENTS_MAX payloads. Older ones are not even parsed: they are missed, as of `since`."""
        seen = 0
        lines: deque[bytes] = deque(maxlen=EVENTS_MAX)
        for frame in frames:
            try:
                payloads = unpack(frame)
            except UndecodableEvent as error:
                self._lose(error.reason, str(error))
                continue
            seen += len(payloads)
            lines.extend(payloads)
        if seen > len(lines):
            self._lose(Loss.OVERFLOW, "the listener is too slow", seen - len(lines))
            self._resync_since = self._resync_since or since
        return lines

    def _events(self, lines: Iterable[bytes]) -> list[Event]:
        """Events of payloads, but for those that are refused."""
        events = []
        for line in lines:
            try:
                event = decode(line)
            except UndecodableEvent as error:
                self._lose(error.reason, str(error))
                continue
            if self._audience.hears(event):
                events.append(event)
            else:
                self._lose(Loss.MISDIRECTED, event.topic)
        return events

    def _lose(self, reason: Loss, detail: str, count: int = 1) -> None:
        if self._losses.add(reason, count):  # only the first: a faulty sender would fill the log
            log.warning("bus.events_lost", reason=reason, detail=detail)
