"""A breaker's states, trips and probes, the same in every style of calling, threads and asyncio alike."""

import abc
from typing import Any

import pybreaker
import pytest

from backend.messaging.breaker import Breaker
from backend.messaging.breaker_errors import BreakerOpen, SlowCall
from backend.messaging.breaker_policy import BreakerPolicy
from tests.unit.messaging.breaking import STYLES, Clock, Down, Style, bad, good


@pytest.fixture(params=STYLES, ids=lambda style: style.name)
def style(request: pytest.FixtureRequest) -> Style:
    style: Style = request.param
    return style


@pytest.fixture
def clock() -> Clock:
    return Clock()


def breaker(clock: Clock, **policy: Any) -> Breaker:
    return Breaker("dependency", BreakerPolicy(**policy), clock=clock)


def fails(style: Style, guard: Breaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(Down):
            style.run(guard, bad)


def refused(style: Style, guard: Breaker) -> BreakerOpen:
    with pytest.raises(BreakerOpen) as caught:
        style.run(guard, lambda: pytest.fail("it was called"))
    return caught.value


def test_a_closed_breaker_returns_what_the_call_returns(style: Style, clock: Clock) -> None:
    guard = breaker(clock)
    assert style.run(guard, good) == "good"
    assert guard.current_state == pybreaker.STATE_CLOSED


def test_failures_in_a_row_trip_it_and_then_nothing_is_called(style: Style, clock: Clock) -> None:
    guard = breaker(clock, fail_max=3, recovery_s=5.0)
    fails(style, guard, 2)
    assert guard.current_state == "closed"
    fails(style, guard)
    assert (guard.current_state, guard.trips) == ("open", 1)
    clock.pass_s(1.5)
    error = refused(style, guard)
    assert isinstance(error, pybreaker.CircuitBreakerError)
    assert (error.name, error.retry_s, guard.rejected) == ("dependency", 3.5, 1)


def test_a_success_between_failures_begins_the_count_anew(style: Style, clock: Clock) -> None:
    guard = breaker(clock, fail_max=2)
    for _ in range(5):
        fails(style, guard)
        assert guard.fail_counter == 1
        style.run(guard, good)
        assert guard.fail_counter == 0
    assert guard.current_state == "closed"


def test_a_share_of_failures_trips_it_once_there_are_enough_calls(style: Style, clock: Clock) -> None:
    guard = breaker(clock, fail_max=None, rate=0.5, volume_min=10, window_s=10.0)
    fails(style, guard, 4)
    for _ in range(5):
        style.run(guard, good)
    assert guard.current_state == "closed"
    fails(style, guard)  # the tenth call, the fifth failure
    assert guard.current_state == "open"


def test_below_the_minimum_volume_no_share_is_too_high(style: Style, clock: Clock) -> None:
    guard = breaker(clock, fail_max=None, rate=0.1, volume_min=10)
    fails(style, guard, 9)
    assert guard.current_state == "closed"
    fails(style, guard)
    assert guard.current_state == "open"


def test_failures_older_than_the_window_are_forgotten(style: Style, clock: Clock) -> None:
    guard = breaker(clock, fail_max=None, rate=0.5, volume_min=4, window_s=10.0)
    fails(style, guard, 3)
    clock.pass_s(10.0)
    fails(style, guard, 3)
    assert guard.current_state == "closed"
    fails(style, guard)
    assert guard.current_state == "open"


def test_after_the_recovery_time_one_success_closes_it(style: Style, clock: Clock) -> None:
    guard = breaker(clock, fail_max=1, recovery_s=5.0)
    fails(style, guard)
    clock.pass_s(4.99)
    refused(style, guard)
    clock.pass_s(0.01)
    assert style.run(guard, good) == "good"
    assert (guard.current_state, guard.fail_counter) == ("closed", 0)


def test_a_probe_that_fails_opens_it_for_the_whole_time_again(style: Style, clock: Clock) -> None:
    guard = breaker(clock, fail_max=3, recovery_s=5.0)
    fails(style, guard, 3)
    clock.pass_s(5.0)
    fails(style, guard)
    assert (guard.current_state, guard.trips) == ("open", 2)
    clock.pass_s(4.0)
    refused(style, guard)


def test_as_many_successes_as_asked_for_close_it(style: Style, clock: Clock) -> None:
    guard = breaker(clock, fail_max=1, recovery_s=5.0, successes=3, permits=1)
    fails(style, guard)
    clock.pass_s(5.0)
    for done in (1, 2):
        style.run(guard, good)
        assert (guard.current_state, guard.success_counter) == ("half-open", done)
    style.run(guard, good)
    assert guard.current_state == "closed"


def test_a_slow_success_is_returned_and_counted_as_a_failure(style: Style, clock: Clock) -> None:
    guard = breaker(clock, fail_max=2, slow_s=1.0)

    def slow() -> str:
        clock.pass_s(1.0)
        return "late"

    assert style.run(guard, slow) == "late"
    assert guard.fail_counter == 1
    assert style.run(guard, slow) == "late"
    assert guard.current_state == "open"


def test_a_slow_probe_opens_it_again(style: Style, clock: Clock) -> None:
    guard = breaker(clock, fail_max=1, recovery_s=5.0, slow_s=1.0)
    fails(style, guard)
    clock.pass_s(5.0)
    assert style.run(guard, lambda: clock.pass_s(2.0)) is None
    assert guard.current_state == "open"


class Refusal(Exception):
    """The caller's own fault."""


class Abstract(Exception, metaclass=abc.ABCMeta):
    """A class of errors with a metaclass."""


def test_excluded_errors_are_raised_and_counted_as_successes(style: Style, clock: Clock) -> None:
    guard = breaker(clock, fail_max=2, exclude=(Refusal, Abstract, lambda error: "mine" in str(error)))

    def raising(error: Exception) -> None:
        def work() -> object:
            raise error

        with pytest.raises(type(error)):
            style.run(guard, work)

    class Special(Refusal):
        pass

    for excluded in (Refusal(), Special(), ValueError("mine")):
        raising(Down())
        raising(excluded)
        assert (guard.current_state, guard.fail_counter) == ("closed", 0)
    raising(ValueError("yours"))
    raising(Down())
    assert guard.current_state == "open", "an abstract class excludes itself only"


def test_with_an_error_of_its_own_the_call_that_trips_says_so(style: Style, clock: Clock) -> None:
    guard = Breaker("dependency", BreakerPolicy(fail_max=2), clock=clock, throw_new_error_on_trip=True)
    fails(style, guard)
    with pytest.raises(pybreaker.CircuitBreakerError) as caught:
        style.run(guard, bad)
    assert isinstance(caught.value.__cause__, Down)


class Heard(pybreaker.CircuitBreakerListener):
    """Writes down what listeners are told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def before_call(self, cb: Any, func: Any, *args: Any, **kwargs: Any) -> None:
        self.told.append("before")

    def failure(self, cb: Any, exc: BaseException) -> None:
        self.told.append(type(exc).__name__)

    def success(self, cb: Any) -> None:
        self.told.append("success")

    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
        self.told.append(f"{old_state.name} to {new_state.name}")
        assert cb.current_state == cb.state.name == new_state.name


def test_listeners_hear_of_calls_and_changes_with_pybreakers_own_states(clock: Clock) -> None:
    heard = Heard()
    guard = Breaker("dependency", BreakerPolicy(fail_max=2, slow_s=1.0), clock=clock, listeners=[heard])
    guard.call(good)
    guard.call(clock.pass_s, 1.0)
    assert heard.told == ["before", "success", "before", SlowCall.__name__]
    heard.told.clear()
    with pytest.raises(Down):
        guard.call(bad)
    assert isinstance(guard.state, pybreaker.CircuitOpenState)
    clock.pass_s(5.0)
    guard.call(good)
    assert heard.told == [
        "before",
        "closed to open",
        "Down",
        "open to half-open",
        "before",
        "half-open to closed",
        "success",
    ]
    assert isinstance(guard.state, pybreaker.CircuitClosedState)


def test_it_can_be_opened_and_closed_by_hand(clock: Clock) -> None:
    heard = Heard()
    guard = Breaker("dependency", clock=clock, listeners=[heard])
    guard.open()
    with pytest.raises(BreakerOpen):
        guard.call(good)
    guard.half_open()
    assert isinstance(guard.state, pybreaker.CircuitHalfOpenState)
    guard.close()
    assert guard.call(good) == "good"
    assert heard.told[:3] == ["closed to open", "open to half-open", "half-open to closed"]
    assert guard.trips == 0


@pytest.mark.parametrize(
    "policy",
    [
        {"fail_max": None},
        {"fail_max": 0},
        {"rate": 0.0},
        {"rate": 1.1},
        {"volume_min": 0},
        {"permits": 0},
        {"successes": 0},
        {"window_s": 0.0},
        {"recovery_s": 0.0},
        {"recovery_s": 1e9},
        {"slow_s": 0.0},
    ],
)
def test_limits_that_make_no_sense_are_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"above|or more|share|trip"):
        BreakerPolicy(**policy)
