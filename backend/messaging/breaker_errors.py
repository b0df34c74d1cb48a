"""What a breaker refuses with, and what it tells listeners of; both beside pybreaker's own error."""

from pybreaker import CircuitBreakerError


class BreakerOpen(CircuitBreakerError):
    """Refused without a call; it may pay to come back after `retry_s`."""

    def __init__(self, name: str, retry_s: float) -> None:
        super().__init__(f"the breaker of {name} is open")
        self.name = name
        self.retry_s = retry_s


class SlowCall(Exception):
    """What listeners are told of a call that succeeded too late."""

    def __init__(self, took_s: float) -> None:
        super().__init__(f"the call took {took_s:.3f} s")
        self.took_s = took_s
