"""Which breakers of this process others hear of, and what is done about what is heard from them."""

import time
from collections.abc import Callable, Sequence
from itertools import count
from threading import Lock

from pybreaker import STATE_CLOSED, STATE_OPEN, CircuitBreaker, CircuitBreakerListener, CircuitBreakerState

from backend.messaging.breaker import Breaker
from backend.messaging.breaker_board import BreakerBoard
from backend.messaging.breaker_notice import Notice, Posted

KNOWN_MAX = 1_000  # heard of, and not used here yet


class BreakerSharing(CircuitBreakerListener):
    """Listens to breakers here and to the board. Its lock is never asked for by who holds a breaker's lock."""

    def __init__(self, board: BreakerBoard, clock: Callable[[], float] = time.monotonic) -> None:
        self.board = board
        self._clock = clock
        self._lock = Lock()
        self._breakers: dict[str, Breaker] = {}
        self._serials: dict[str, int] = {}  # of the newest notice from here, by breaker
        self._known: dict[str, float] = {}  # until when others refuse
        self._serial = count(1)

    def start(self) -> None:
        """Tell and hear from now on, beginning with what others have open at present."""
        self.board.start(self.hear, self.compare)

    def add(self, breaker: Breaker) -> None:
        """Share a breaker; it opens at once if others have it open."""
        with self._lock:
            self._breakers[breaker.label] = breaker
            until_s = self._known.pop(breaker.label, None)
        breaker.add_listener(self)
        if until_s is not None:
            breaker.adopt(STATE_OPEN, max(0.0, until_s - self._clock()), lambda here: here == STATE_CLOSED)

    def drop(self, breaker: Breaker) -> None:
        """Share it no more."""
        breaker.remove_listener(self)
        with self._lock:
            if self._breakers.get(breaker.label) is breaker:
                del self._breakers[breaker.label]
                self._serials.pop(breaker.label, None)

    def state_change(
        self,
        cb: CircuitBreaker,
        old_state: CircuitBreakerState | None,  # noqa: ARG002  # pybreaker's signature
        new_state: CircuitBreakerState,  # noqa: ARG002  # the same
    ) -> None:
        """A breaker changed its state; called with its lock held."""
        assert isinstance(cb, Breaker)
        if not cb.adopting:
            self._serials[cb.label] = next(self._serial)
            self.board.post(self._notice(cb))

    def hear(self, notice: Notice) -> None:
        """A change of somebody's, in the order in which everybody hears it.

        An own one counts as well, if it is the newest: one of another process may have been heard in between.
        """
        with self._lock:
            breaker = self._breakers.get(notice.name)
            if breaker is None:
                self._remember(notice.name, notice.state, notice.retry_s)
                return
        if notice.origin == self.board.origin and notice.serial != self._serials.get(notice.name):
            return
        if notice.state in (STATE_OPEN, STATE_CLOSED):
            breaker.adopt(
                notice.state,
                notice.retry_s,
                lambda here: here != notice.state and not self.board.is_pending(notice.name),
            )

    def compare(self, kept: Sequence[Posted]) -> list[Notice]:
        """Adopt what is open elsewhere and closed here; returns what is open here and not kept."""
        with self._lock:
            breakers = dict(self._breakers)
            self._known.clear()
            for posted in kept:
                if posted.name not in breakers:
                    self._remember(posted.name, posted.state, posted.retry_s)
        for posted in kept:
            if breaker := breakers.pop(posted.name, None):
                breaker.adopt(STATE_OPEN, posted.retry_s, self._unless_told(posted.name))
        return [self._notice(breaker) for breaker in breakers.values() if breaker.current_state != STATE_CLOSED]

    def _unless_told(self, name: str) -> Callable[[str], bool]:
        return lambda here: here == STATE_CLOSED and not self.board.is_pending(name)

    def _remember(self, name: str, state: str, retry_s: float) -> None:
        if state == STATE_CLOSED:
            self._known.pop(name, None)
        elif name in self._known or len(self._known) < KNOWN_MAX:
            self._known[name] = self._clock() + retry_s

    def _notice(self, breaker: Breaker) -> Notice:
        serial = self._serials.get(breaker.label, 0)
        return Notice(breaker.label, breaker.current_state, breaker.retry_s, self.board.origin, serial)
