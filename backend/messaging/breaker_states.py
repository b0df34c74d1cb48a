"""The state of a breaker and how it changes; who is let in, and what counts, is its subclass's business."""

import time
from collections.abc import Callable, Sequence

from pybreaker import (
    STATE_CLOSED,
    STATE_HALF_OPEN,
    STATE_OPEN,
    CBStateType,
    CircuitBreaker,
    CircuitBreakerListener,
)

from backend.messaging.breaker_policy import NEVER, BreakerPolicy
from backend.messaging.breaker_window import BreakerWindow


class BreakerStates(CircuitBreaker):
    """pybreaker's breaker, whose states change under its lock, all at once.

    Listeners hear of a change under the lock and in order, as in pybreaker: they must be quick.
    """

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        listeners: Sequence[CircuitBreakerListener] = (),
        throw_new_error_on_trip: bool = False,
    ) -> None:
        self.policy = policy = policy or BreakerPolicy()
        super().__init__(
            fail_max=policy.fail_max or NEVER,
            reset_timeout=policy.recovery_s,
            success_threshold=policy.successes,
            exclude=policy.exclude,
            listeners=listeners,
            name=name,
            throw_new_error_on_trip=throw_new_error_on_trip,
        )
        self.trips = 0
        self.rejected = 0
        self.adopting = False  # while the change under way was not decided here, but heard of
        self._clock = clock
        self._window = BreakerWindow(policy.window_s) if policy.rate is not None else None
        self._shut = False  # what a call looks at: open or half-open
        self._marked = False  # whether a success has something to undo: failures in a row, or a breaker that is shut
        self._epoch = 0  # changes of state so far: results of an earlier epoch say nothing about this one
        self._since_s = 0.0
        self._probes = 0

    @property
    def label(self) -> str:
        """The name, which a breaker of ours always has."""
        return str(self._name)

    @property
    def state(self) -> CBStateType:
        """pybreaker's object for the present state."""
        return self._state

    @state.setter
    def state(self, state_str: str) -> None:
        with self._lock:
            self._move(state_str)

    @property
    def retry_s(self) -> float:
        """How long calls are still refused; 0 when the next one is let in."""
        if self._state_storage.state != STATE_OPEN:
            return 0.0
        return max(0.0, self._since_s + self._reset_timeout - self._clock())

    @property
    def overdue_s(self) -> float:
        """For how long a call would have been let in and none came; it means nothing while closed."""
        return max(0.0, self._clock() - self._since_s - self._reset_timeout)

    def open(self) -> bool:
        """Open by hand."""
        self.state = STATE_OPEN
        return self._throw_new_error_on_trip

    def half_open(self) -> None:
        """Let probes in from now on."""
        self.state = STATE_HALF_OPEN

    def close(self) -> None:
        """Let every call in from now on."""
        self.state = STATE_CLOSED

    def adopt(self, state: str, retry_s: float, wanted: Callable[[str], bool]) -> None:
        """Take over what another process found out, if `wanted` still says so of the state here: open for another
        `retry_s`, or closed. It counts as no trip, and listeners see `adopting` meanwhile.
        """
        with self._lock:
            if not wanted(self.current_state):
                return
            self.adopting = True
            try:
                self._move(state, self._clock() + min(retry_s, self._reset_timeout) - self._reset_timeout)
            finally:
                self.adopting = False

    def _move(self, state: str, since_s: float | None = None) -> None:
        """Change the state, with the lock held.

        Whoever looks without the lock sees `_shut` before the new epoch when it opens and after it when it closes:
        so a call that was not admitted by the new epoch cannot count in it.
        """
        was, now = self._state, self._create_new_state(state, prev_state=self._state, notify=False)
        self._shut = self._shut or state != STATE_CLOSED
        self._epoch += 1
        self._probes = 0
        self._since_s = self._clock() if since_s is None else since_s
        self._state_storage.reset_success_counter()
        if state == STATE_CLOSED:
            self._state_storage.reset_counter()
            if self._window is not None:
                self._window.clear()
        self._state_storage.state, self._state = state, now
        self._shut = self._marked = state != STATE_CLOSED
        for listener in self._listeners:
            listener.state_change(self, was, now)
