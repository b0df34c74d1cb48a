"""The breakers of this process, one per dependency and per node, bounded in number; their states may be shared."""

import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock

from pybreaker import STATE_CLOSED
from redis.exceptions import RedisError

from backend.domain.errors import Unavailable
from backend.messaging.breaker import Breaker
from backend.messaging.breaker_board import BreakerBoard
from backend.messaging.breaker_notice import NAME_CHARS_MAX, Posted
from backend.messaging.breaker_policy import BreakerPolicy
from backend.messaging.breaker_sharing import BreakerSharing
from backend.messaging.breaker_store import BreakerStore
from backend.messaging.breaker_tallies import Figures, Tallies

BREAKERS_MAX = 1_000
ROOM = BREAKERS_MAX // 10  # made at once when it is full, so that not every newcomer looks at all others
IDLE_S = 600.0
DIGEST_CHARS = 16
STALE_AFTER = 60  # times its recovery: what nobody has tried for so long says nothing any more


@dataclass(slots=True)
class Entry:
    """A breaker and when it was last asked for."""

    breaker: Breaker
    kind: str
    used_s: float
    shared: bool


@dataclass(frozen=True, slots=True)
class Own:
    """A breaker of this process alone that is not closed."""

    kind: str
    key: str
    state: str


class Breakers:
    """Finds or makes breakers by kind and key; safe to share between threads and event loops."""

    def __init__(self, board: BreakerBoard | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._sharing = BreakerSharing(board, clock) if board is not None else None
        self._clock = clock
        self._lock = Lock()
        self._entries: dict[tuple[str, str], Entry] = {}
        self._tallies = Tallies()

    @staticmethod
    def on(redis_url: str, namespace: str) -> "Breakers":
        """Breakers that are shared over Redis once `start` is called."""
        origin = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        return Breakers(BreakerBoard(BreakerStore(redis_url, namespace), origin))

    def start(self) -> None:
        """Share from now on, beginning with what others have open at present; returns at once."""
        if self._sharing is not None:
            self._sharing.start()

    def get(self, kind: str, key: str, policy: BreakerPolicy, *, shared: bool = True) -> Breaker:
        """The breaker of `key` among those of `kind`, made with `policy` if there is none.

        One that is not shared is known to this process only, and stays however long nobody asks for it.
        """
        entry = self._entries.get((kind, key))
        if entry is None:
            return self._make(kind, key, policy, shared)
        entry.used_s = self._clock()
        return entry.breaker

    def read(self) -> list[Posted]:
        """What all processes know not to be closed, by name; raises Unavailable while Redis is away."""
        try:
            return self._sharing.board.read() if self._sharing is not None else []
        except (RedisError, OSError) as error:
            raise Unavailable("Redis does not answer", code="redis_unreachable") from error

    def own(self) -> list[Own]:
        """Those not closed among the breakers that are not shared, unless nobody has tried for very long."""
        with self._lock:
            entries = [(place, entry.breaker) for place, entry in self._entries.items() if not entry.shared]
        return [
            Own(kind, key, state)
            for (kind, key), breaker in entries
            if (state := breaker.current_state) != STATE_CLOSED
            and breaker.overdue_s < STALE_AFTER * breaker.policy.recovery_s
        ]

    def figures(self) -> Sequence[Figures]:
        """States, trips and refusals, for monitoring; a bounded number of them."""
        with self._lock:
            self._drop_idle()
            return self._tallies.figures([(entry.kind, entry.breaker) for entry in self._entries.values()])

    def close(self) -> None:
        """Share no more."""
        if self._sharing is not None:
            self._sharing.board.close()

    def _make(self, kind: str, key: str, policy: BreakerPolicy, shared: bool) -> Breaker:
        with self._lock:
            entry = self._entries.get((kind, key))
            if entry is None:
                if len(self._entries) >= BREAKERS_MAX:
                    self._make_room()
                breaker = Breaker(_name(kind, key), policy, clock=self._clock)
                entry = self._entries[kind, key] = Entry(breaker, kind, self._clock(), shared)
                self._tallies.name(breaker)
                if shared and self._sharing is not None:
                    self._sharing.add(breaker)
            return entry.breaker

    def _make_room(self) -> None:
        """Drop the idle ones, or else those least missed: closed before others, used long ago before lately."""
        if self._drop_idle() < ROOM:
            order = sorted(self._entries, key=lambda place: _missed(self._entries[place]))
            for place in order[:ROOM]:
                self._drop(place)

    def _drop_idle(self) -> int:
        """Drop those that nobody asked for lately and that refuse nobody; returns how many."""
        oldest_s = self._clock() - IDLE_S
        idle = [
            place
            for place, entry in self._entries.items()
            if entry.shared and entry.used_s < oldest_s and entry.breaker.retry_s == 0.0
        ]
        for place in idle:
            self._drop(place)
        return len(idle)

    def _drop(self, place: tuple[str, str]) -> None:
        entry = self._entries.pop(place)
        self._tallies.forget(entry.kind, entry.breaker)
        if entry.shared and self._sharing is not None:
            self._sharing.drop(entry.breaker)


def _name(kind: str, key: str) -> str:
    """What logs, others and monitoring call it; a long key is cut, and told from others by a digest."""
    name = f"{kind}:{key}"
    if len(name) <= NAME_CHARS_MAX:
        return name
    digest = sha256(name.encode(errors="replace")).hexdigest()[:DIGEST_CHARS]
    return f"{name[: NAME_CHARS_MAX - DIGEST_CHARS - 1]}~{digest}"


def _missed(entry: Entry) -> tuple[bool, bool, float]:
    return not entry.shared, entry.breaker.current_state != STATE_CLOSED, entry.used_s
