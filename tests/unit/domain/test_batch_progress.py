"""How far a batch is, in numbers that never promise what is not known."""

from datetime import UTC, datetime, timedelta

from backend.domain.batch_progress import Progress, progress

BEGUN = datetime(2026, 10, 1, 12, tzinfo=UTC)


def test_what_is_left_goes_on_as_fast_as_it_went_so_far() -> None:
    told = progress(250, 1_000, BEGUN, BEGUN + timedelta(seconds=5), runs=True)
    assert told == Progress(250, 1_000, rate_per_s=50.0, left_s=15.0)
    assert told.done_ppm == 250_000


def test_of_one_that_has_ended_nothing_is_left_to_wait_for() -> None:
    told = progress(1_000, 1_000, BEGUN, BEGUN + timedelta(seconds=4), runs=False)
    assert (told.rate_per_s, told.left_s, told.done_ppm) == (250.0, None, 1_000_000)


def test_before_anything_is_done_there_is_no_rate() -> None:
    assert progress(0, 10, BEGUN, BEGUN + timedelta(seconds=4), runs=True) == Progress(0, 10)
    assert progress(0, 0, None, BEGUN, runs=True).done_ppm == 0
    assert progress(5, 10, BEGUN, BEGUN, runs=True) == Progress(5, 10), "no time has passed"


def test_a_share_is_whole_only_when_all_of_it_is_done() -> None:
    assert Progress(49_999, 50_000).done_ppm == 999_980
