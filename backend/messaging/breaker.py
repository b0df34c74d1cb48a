"""One circuit breaker, for threads and asyncio: pybreaker's states, listeners and errors, with other bookkeeping.

pybreaker 1.4.1 holds its lock during the call, takes an async call that fails for a success, and lets every caller
in while half-open. Here the lock is held for bookkeeping only, and not at all by a call that succeeds while nothing
is counted against the dependency and no rate is kept.
"""

from collections.abc import Callable
from typing import Any

from pybreaker import STATE_CLOSED, STATE_HALF_OPEN, STATE_OPEN

from backend.messaging.breaker_calls import BreakerCalls, Permit
from backend.messaging.breaker_errors import BreakerOpen, SlowCall
from backend.messaging.breaker_states import BreakerStates


def _block() -> None:
    """What listeners are told is called when it is a block of code."""


class Breaker(BreakerCalls, BreakerStates):  # type: ignore[misc]  # wider types than pybreaker's, on purpose
    """Guards calls to what `name` says; any thread and any event loop may use it.

    Around a call stands `before`, then exactly one of `success`, `failure` and `abandon`, which `call`, `calling`,
    `call_async` and the decorator do by themselves. With `throw_new_error_on_trip` the call that trips raises
    CircuitBreakerError instead of its own error. `clock` gives seconds that never go back.
    """

    def before(self, func: Callable[..., Any] = _block, *args: Any, **kwargs: Any) -> Permit:
        """Let a call in, or raise BreakerOpen."""
        epoch = self._epoch  # before the next line: a change in between then makes the permit an old one
        if self._shut:
            epoch = self._admit_probe()
        for listener in self._listeners:
            listener.before_call(self, func, *args, **kwargs)
        return epoch, self._clock()

    def success(self, permit: Permit) -> None:
        """Record that the call of `permit` ended well; too late counts as a failure."""
        slow_s, window = self.policy.slow_s, self._window
        if slow_s is not None or window is not None:
            now_s = self._clock()
            if slow_s is not None and now_s - permit[1] >= slow_s:
                self._failed(permit, SlowCall(now_s - permit[1]))
                return
            if window is not None:
                with self._lock:
                    if permit[0] == self._epoch:
                        window.add(now_s)
        if self._marked:
            self._succeeded(permit)
        for listener in self._listeners:
            listener.success(self)

    def failure(self, permit: Permit, error: BaseException) -> bool:
        """Record the error that the call of `permit` ended with; whether it tripped the breaker.

        An excluded error counts as a success. One that ends the caller (cancellation, exit) counts as nothing.
        """
        if not isinstance(error, Exception):
            self.abandon(permit)
            return False
        if self.is_system_error(error):
            return self._failed(permit, error)
        self.success(permit)
        return False

    def abandon(self, permit: Permit) -> None:
        """Give back the permit of a call whose end says nothing, or will never be known."""
        if self._shut:
            with self._lock:
                if permit[0] == self._epoch and self._shut:
                    self._probes -= 1

    def is_system_error(self, exception: BaseException) -> bool:
        """Whether an error speaks against the dependency. pybreaker takes an abstract class for a function."""
        for exclusion in self._excluded_exceptions:
            if isinstance(exception, exclusion) if isinstance(exclusion, type) else exclusion(exception):
                return False
        return True

    def _admit_probe(self) -> int:
        """The epoch of a call that comes while the breaker is shut; raises BreakerOpen."""
        with self._lock:
            if not self._shut:
                return self._epoch
            now_s, state = self._clock(), self._state_storage.state
            rested = now_s - self._since_s >= self._reset_timeout
            if state == STATE_OPEN and rested:
                self._move(STATE_HALF_OPEN)
            elif state == STATE_HALF_OPEN and self._probes < self.policy.permits:
                pass
            elif state == STATE_HALF_OPEN and rested:
                # Probes that hang must not keep the breaker shut for ever: others take their place.
                self._epoch += 1
                self._probes, self._since_s = 0, now_s
            else:
                self.rejected += 1
                raise BreakerOpen(self.label, self._since_s + self._reset_timeout - now_s)
            self._probes += 1
            return self._epoch

    def _succeeded(self, permit: Permit) -> None:
        with self._lock:
            if permit[0] != self._epoch:
                return
            self._state_storage.reset_counter()
            self._marked = self._shut
            if self._shut:
                self._probes -= 1
                self._state_storage.increment_success_counter()
                if self.success_counter >= self._success_threshold:
                    self._move(STATE_CLOSED)

    def _failed(self, permit: Permit, error: Exception) -> bool:
        tripped = False
        with self._lock:
            if permit[0] == self._epoch:
                self._marked = True
                self._inc_counter()
                if self._window is not None:
                    self._window.add(self._clock(), failures=1)
                tripped = self._shut or self._reached()
                if tripped:
                    self.trips += 1
                    self._move(STATE_OPEN)
        for listener in self._listeners:
            listener.failure(self, error)
        return tripped

    def _reached(self) -> bool:
        if self.fail_counter >= self._fail_max:
            return True
        window, rate = self._window, self.policy.rate
        if window is None or rate is None or window.calls < self.policy.volume_min:
            return False
        return window.failures >= rate * window.calls
