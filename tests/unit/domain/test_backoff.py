"""Patience after errors."""

from hypothesis import given
from hypothesis import strategies as st

from backend.domain.backoff import FIRST_S, MAX_S, delay_s

FAILURES = st.integers(1, 10**6)
JITTER = st.floats(0.0, 1.0, exclude_max=True)


@given(FAILURES, JITTER)
def test_a_delay_is_never_above_the_bound_nor_below_half_of_the_first(failures: int, jitter: float) -> None:
    assert FIRST_S / 2 <= delay_s(failures, jitter) <= MAX_S


@given(FAILURES)
def test_more_failures_never_mean_a_shorter_delay(failures: int) -> None:
    assert delay_s(failures, 0.0) <= delay_s(failures + 1, 0.0)


def test_delays_double_until_the_bound() -> None:
    assert [delay_s(failures, 0.0, 0.1, 1.0) for failures in range(1, 6)] == [0.1, 0.2, 0.4, 0.8, 1.0]


def test_jitter_takes_off_up_to_half() -> None:
    assert delay_s(1, 0.999, 1.0) < 0.51
