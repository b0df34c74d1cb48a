"""The thread that tells other processes of breakers here, and hears of theirs. Calls never wait for it, nor for Redis.

While Redis is away every process goes by what it sees itself; afterwards the thread reads and writes what is open.
"""

import time
from collections.abc import Callable, Sequence
from threading import Event, Lock, Thread

import structlog
from redis.client import PubSub
from redis.exceptions import RedisError

from backend.messaging.breaker_notice import Notice, Posted, UnreadableNotice, decode
from backend.messaging.breaker_store import BreakerStore

TURN_S = 0.2  # between a change and its telling; others hear it at once
SYNC_EVERY_S = 5.0  # everything is compared so often, since Redis may forget
RETRY_S = 1.0
PENDING_MAX = 2_000  # changes that wait for Redis, the newest of each breaker
WRITE_MAX = 500
MESSAGES_MAX = 1_000  # heard in one turn
CLOSE_TIMEOUT_S = 2.0

log = structlog.get_logger(__name__)


class BreakerBoard:
    """One per process. `hear` is given each change, own ones too, in the order in which Redis had them.

    `compare` is given all that is kept, and returns what is missing there. Both run in the thread.
    """

    def __init__(self, store: BreakerStore, origin: str) -> None:
        self.origin = origin
        self.unreadable = 0
        self.dropped = 0
        self._store = store
        self._pending: dict[str, Notice] = {}
        self._closing = Event()
        self._starting = Lock()
        self._thread: Thread | None = None
        self.away = False

    def start(self, hear: Callable[[Notice], None], compare: Callable[[Sequence[Posted]], list[Notice]]) -> None:
        """Tell and hear from now on; a second call does nothing."""
        with self._starting:
            if self._thread is None and not self._closing.is_set():
                self._thread = Thread(target=self._run, args=(hear, compare), name="breakers", daemon=True)
                self._thread.start()

    def post(self, notice: Notice) -> None:
        """Tell the others soon; never waits. Without a thread nobody is told."""
        if self._thread is None:
            return
        if notice.name not in self._pending and len(self._pending) >= PENDING_MAX:
            self.dropped += 1
            return
        self._pending[notice.name] = notice

    def is_pending(self, name: str) -> bool:
        """Whether a change here is not told yet: it is newer than whatever is heard."""
        return name in self._pending

    def read(self) -> list[Posted]:
        """What all processes know now, by name; raises redis.RedisError or OSError while Redis is away."""
        return [posted for posted in self._store.read() if not posted.stale]

    def close(self) -> None:
        """Stop telling and hearing."""
        with self._starting:
            self._closing.set()
        if self._thread is not None:
            self._thread.join(CLOSE_TIMEOUT_S)
        self._store.close()

    def _run(self, hear: Callable[[Notice], None], compare: Callable[[Sequence[Posted]], list[Notice]]) -> None:
        while not self._closing.is_set():
            try:
                pubsub = self._store.listen()
                try:
                    self._turns(pubsub, hear, compare)
                finally:
                    pubsub.close()
            except (RedisError, OSError) as error:
                if not self.away:
                    log.warning("breakers.not_shared", error=repr(error))
                self.away = True
                self._closing.wait(RETRY_S)

    def _turns(
        self, pubsub: PubSub, hear: Callable[[Notice], None], compare: Callable[[Sequence[Posted]], list[Notice]]
    ) -> None:
        sync_at = 0.0
        while not self._closing.is_set():
            self._tell()
            if time.monotonic() >= sync_at:
                self._sync(compare)
                sync_at = time.monotonic() + SYNC_EVERY_S
            self._listen(pubsub, hear)

    def _tell(self) -> None:
        notices = [self._pending.pop(name) for name in list(self._pending)[:WRITE_MAX]]
        if not notices:
            return
        try:
            self._store.write(notices)
        except (RedisError, OSError):
            for notice in notices:
                self._pending.setdefault(notice.name, notice)  # unless there is a newer one
            raise

    def _sync(self, compare: Callable[[Sequence[Posted]], list[Notice]]) -> None:
        kept = self._store.read()
        self._store.forget([posted.name for posted in kept if posted.stale])
        if missing := compare([posted for posted in kept if not posted.stale]):
            self._store.restore(missing)
        if self.away:
            log.info("breakers.shared_again")
        self.away = False

    def _listen(self, pubsub: PubSub, hear: Callable[[Notice], None]) -> None:
        message = pubsub.get_message(timeout=TURN_S)
        for _ in range(MESSAGES_MAX):
            if message is None:
                return
            if message["type"] == "message":
                try:
                    hear(decode(message["data"]))
                except UnreadableNotice:
                    self.unreadable += 1
            message = pubsub.get_message(timeout=0)
