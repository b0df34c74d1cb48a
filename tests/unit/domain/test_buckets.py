"""Buckets of permits: never more than a minute's limit beyond what a span of time brings, and none lost or made."""

from hypothesis import given
from hypothesis import strategies as st

from backend.domain.buckets import BLOCK_MAX, PARTS, Ask, Bucket, block, draw, places

MINUTE_MS = 60_000
limits = st.integers(1, 10_000)
steps = st.lists(
    st.tuples(st.integers(0, 30_000), st.integers(0, 200), st.integers(1, 50), st.integers(0, 100)),
    min_size=1,
    max_size=40,
)


@given(limits, steps)
def test_no_span_of_time_admits_more_than_the_limit_for_it_and_one_burst(
    limit: int, play: list[tuple[int, int, int, int]]
) -> None:
    bucket, now_ms, held, admitted = None, 0, 0, [(0, 0)]
    for later_ms, need, least, returned in play:
        now_ms += later_ms
        back = min(returned, held)
        bucket, drawn = draw(bucket, Ask(limit, need, min(least, max(1, need)), back), now_ms)
        held += drawn.granted - back
        admitted.append((now_ms, drawn.granted - back))
    for start in range(len(admitted)):
        taken = 0
        for at_ms, granted in admitted[start:]:
            taken += granted
            span_ms = at_ms - admitted[start][0]
            assert taken <= limit + limit * span_ms / MINUTE_MS + returned_before(admitted[:start])


def returned_before(passed: list[tuple[int, int]]) -> int:
    """What was in hand when a span began may come back in it and go out again."""
    return max(0, sum(granted for _, granted in passed))


@given(limits, steps)
def test_a_need_is_met_in_whole_or_as_far_as_the_bucket_goes(limit: int, play: list[tuple[int, int, int, int]]) -> None:
    bucket, now_ms = None, 0
    for later_ms, need, least, _ in play:
        now_ms += later_ms
        level = min(limit * PARTS, bucket.level + later_ms * limit) if bucket else limit * PARTS
        bucket, drawn = draw(bucket, Ask(limit, need, min(least, max(1, need))), now_ms)
        there = level // PARTS
        assert bucket.level == level - drawn.granted * PARTS >= 0
        assert drawn.left == there - drawn.granted
        if not need:
            assert drawn.granted == 0
        elif there < min(least, need):
            assert drawn.granted == 0 < drawn.wait_ms
        else:
            assert min(need, there) <= drawn.granted <= max(need, block(limit))
            assert (drawn.wait_ms > 0) is (drawn.granted < need)


@given(limits, st.integers(1, 500), st.integers(-10_000, 10_000))
def test_what_it_was_told_to_wait_for_is_there_then_and_not_before(limit: int, need: int, level: int) -> None:
    need = min(need, limit)
    bucket, drawn = draw(Bucket(min(level, need - 1) * PARTS, 0), Ask(limit, need, need), 0)
    assert (drawn.granted, bucket.level) == (0, max(-limit, min(level, need - 1)) * PARTS)
    assert draw(bucket, Ask(limit, need, need), drawn.wait_ms - 1)[1].granted == 0
    assert draw(bucket, Ask(limit, need, need), drawn.wait_ms)[1].granted >= need


def test_blocks_shrink_to_single_permits_at_the_edge() -> None:
    bucket, sizes = None, []
    while True:
        bucket, drawn = draw(bucket, Ask(6_000, need=1), 0)
        if not drawn.granted:
            break
        sizes.append(drawn.granted)
    assert sum(sizes) == 6_000
    assert sizes[0] == block(6_000) == 60
    assert sizes[-19:] == [1] * 19
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) < 6_000 / 25
    assert block(10**9) == BLOCK_MAX


def test_a_debt_is_paid_before_anything_is_drawn_and_is_no_more_than_a_minute() -> None:
    bucket, drawn = draw(Bucket(0, 0), Ask(60, need=1, returned=-1_000_000), 0)
    assert (drawn.granted, bucket.level) == (0, -60 * PARTS)
    assert drawn.wait_ms == 61_000
    assert draw(bucket, Ask(60, need=1), 61_000)[1].granted == 1


def test_a_clock_that_is_set_back_brings_nothing_and_nothing_twice() -> None:
    bucket, _ = draw(None, Ask(60, need=60), 100_000)
    bucket, drawn = draw(bucket, Ask(60, need=1), 0)
    assert drawn.granted == 0
    assert draw(bucket, Ask(60, need=1), 100_000)[1].granted == 0
    assert draw(bucket, Ask(60, need=1), 101_000)[1].granted == 1


def test_a_lower_limit_empties_what_is_above_it() -> None:
    full, _ = draw(None, Ask(600), 0)
    assert draw(full, Ask(6, need=1), 0)[1].left == 5


@given(st.integers(0, 2_000), st.integers(0, 3_000), st.integers(0, 2_000))
def test_places_are_what_is_needed_as_far_as_others_leave_it_and_a_few_more(limit: int, others: int, need: int) -> None:
    given = places(limit, others, need)
    free = max(0, limit - others)
    assert min(need, free) <= given <= free
    if not need:
        assert given == 0
    elif free > need:
        assert given - need == (free - need) // 8
