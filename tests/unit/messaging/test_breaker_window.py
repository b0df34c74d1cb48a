"""The ring of buckets against a list of everything that happened."""

from hypothesis import given
from hypothesis import strategies as st

from backend.messaging.breaker_window import BUCKETS, BreakerWindow

STEP_S = 0.5
calls = st.lists(st.tuples(st.integers(0, 3 * BUCKETS), st.integers(0, 1)), max_size=60)


@given(calls, st.integers(0, 10_000))
def test_counts_are_those_of_the_last_buckets_however_long_the_pauses(calls: list[tuple[int, int]], start: int) -> None:
    window = BreakerWindow(BUCKETS * STEP_S)
    step, ended = start, []
    for pause, failures in calls:
        step += pause
        window.add(step * STEP_S, failures)
        ended.append((step, failures))
        recent = [failed for at, failed in ended if at > step - BUCKETS]
        assert (window.calls, window.failures) == (len(recent), sum(recent))
    window.clear()
    window.add(step * STEP_S)
    assert (window.calls, window.failures) == (1, 0)
