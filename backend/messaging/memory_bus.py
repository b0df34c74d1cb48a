"""The bus's twin without Redis, for tests and for a single process; it fails as Redis does when told to."""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from threading import Condition

from backend.domain.events import EVERYBODY, Audience, Event, Topic
from backend.messaging.channels import channels_for
from backend.messaging.codec import pack
from backend.messaging.losses import UNSENT, Loss, Losses
from backend.messaging.outbound import outbound
from backend.messaging.subscription import Subscription

BACKLOG_BYTES_MAX = 8 << 20  # before a listener that does not read; then it is disconnected, as Redis does


class MemoryServer:
    """Takes the place of a Redis server; buses that share one hear each other."""

    def __init__(self) -> None:
        self._turn = Condition()
        self._feeds: dict[str, set[MemoryFeed]] = {}
        self._up = True

    def publish(self, channel: str, frame: bytes) -> int:
        """Hand a frame to the listeners of a channel; how many there are. Raises ConnectionError when stopped."""
        with self._turn:
            self._check()
            feeds = tuple(self._feeds.get(channel, ()))
            for feed in feeds:
                feed.put(frame)
                if feed.backlog_bytes > BACKLOG_BYTES_MAX:
                    self.leave(feed)
            self._turn.notify_all()
            return len(feeds)

    def join(self, feed: "MemoryFeed", channels: Sequence[str]) -> None:
        """Listen for a feed. Raises ConnectionError when stopped."""
        with self._turn:
            self._check()
            feed.connect(self._turn)
            for channel in channels:
                self._feeds.setdefault(channel, set()).add(feed)

    def leave(self, feed: "MemoryFeed") -> None:
        """Listen for it no more."""
        with self._turn:
            feed.disconnect()
            self._feeds = {name: left for name, feeds in self._feeds.items() if (left := feeds - {feed})}

    def stop(self) -> None:
        """Go away, as a server that is killed: every connection ends, whatever was not read is lost."""
        with self._turn:
            self._up = False
            for feed in set().union(*self._feeds.values()):
                feed.disconnect()
            self._feeds.clear()
            self._turn.notify_all()

    def start(self) -> None:
        """Come back."""
        with self._turn:
            self._up = True

    def _check(self) -> None:
        if not self._up:
            raise ConnectionError("the server is stopped")


class MemoryFeed:
    """A connection to a MemoryServer, which alone calls `connect`, `disconnect` and `put`."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._frames: deque[bytes] = deque()
        self._turn: Condition | None = None
        self._opened = False
        self.backlog_bytes = 0
        self.heard_until = datetime.now(UTC)

    @property
    def connected(self) -> bool:
        """Whether it was opened; that the server has gone is noticed by reading."""
        return self._opened

    def open(self, channels: Sequence[str]) -> None:
        """Connect."""
        asked_at = datetime.now(UTC)
        self._server.join(self, channels)
        self._opened, self.heard_until = True, asked_at

    def read(self, timeout_s: float) -> list[bytes]:
        """All frames that are there; waits up to `timeout_s` for the first."""
        turn = self._turn
        if turn is None:
            raise ConnectionError("not connected")
        with turn:
            turn.wait_for(lambda: self._frames or self._turn is None, timeout_s)
            if self._turn is None:
                raise ConnectionError("the server has hung up")
            frames = list(self._frames)
            self._frames.clear()
            self.backlog_bytes = 0
            self.heard_until = datetime.now(UTC)
            return frames

    def close(self) -> None:
        """Disconnect."""
        self._server.leave(self)
        self._opened = False

    def connect(self, turn: Condition) -> None:
        """Begin to be listened for."""
        self._turn = turn

    def disconnect(self) -> None:
        """Lose the connection, and with it what was not read."""
        self._turn = None
        self._frames.clear()
        self.backlog_bytes = 0

    def put(self, frame: bytes) -> None:
        """Take a frame."""
        self._frames.append(frame)
        self.backlog_bytes += len(frame)


class MemoryBus:
    """The EventBus on a MemoryServer, by default one of its own."""

    def __init__(self, server: MemoryServer | None = None, namespace: str = "swarmex") -> None:
        self._server = server or MemoryServer()
        self._namespace = namespace
        self.losses = Losses()

    @property
    def dropped(self) -> int:
        """Events that could not be published."""
        return self.losses.total(*UNSENT)

    def publish(self, events: Sequence[Event]) -> None:
        """Send each distinct event once. Never raises: what cannot be sent is counted in `losses`."""
        lines = outbound(self._namespace, events, self.losses)
        try:
            for channel, frame in pack(lines):
                self._server.publish(channel, frame)
        except ConnectionError:
            self.losses.add(Loss.UNREACHABLE, len(lines))

    def subscribe(
        self,
        topics: Sequence[Topic],
        audience: Audience = EVERYBODY,
        on_resync: Callable[[datetime], None] | None = None,
    ) -> Subscription:
        """A subscription to what is for `audience` in `topics`; see EventBus."""
        channels = channels_for(self._namespace, topics, audience)
        return Subscription(MemoryFeed(self._server), channels, audience, self.losses, on_resync)

    def close(self) -> None:
        """There is nothing to drop."""
