"""Who goes first on a machine that all tiers share: larger tiers, as long as nobody else has waited for too long."""

from collections import Counter
from random import Random
from statistics import quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.tiers import TIERS, TierName
from backend.domain.urgency import (
    ITEMS_RANK,
    ITEMS_SHARE,
    KEPT_SHARE,
    PATIENCE_S,
    RANKS,
    Places,
    Urgency,
    Waiting,
    kept_of,
    may_begin,
    tier_named,
    urgency,
    urgency_of_items,
)

SMALL, MEDIUM, LARGE, ENTERPRISE = TierName
TICK_S = 0.05  # a request is served in each
tiers = st.sampled_from(list(TierName))


def order_of(waiting: Waiting[int]) -> list[int]:
    order = []
    while (first := waiting.first()) is not None:
        order.append(first)
        assert waiting.discard(first)
    return order


def test_larger_tiers_go_first_and_those_of_one_tier_as_they_came() -> None:
    waiting: Waiting[int] = Waiting()
    for number, tier in enumerate([SMALL, MEDIUM, ENTERPRISE, LARGE, SMALL, ENTERPRISE]):
        waiting.add(number, tier, number * 0.001)
    assert len(waiting) == 6
    assert order_of(waiting) == [2, 5, 3, 1, 0, 4]
    assert waiting.first() is None
    assert waiting.urgency() is None


def test_who_came_long_before_goes_before_a_larger_tier() -> None:
    waiting: Waiting[int] = Waiting()
    waiting.add(1, SMALL, 0.0)
    waiting.add(2, ENTERPRISE, PATIENCE_S[SMALL] - PATIENCE_S[ENTERPRISE] - 0.001)
    assert waiting.first() == 2
    waiting.add(3, ENTERPRISE, PATIENCE_S[SMALL] - PATIENCE_S[ENTERPRISE] + 0.001)
    assert order_of(waiting) == [2, 1, 3]


def test_on_a_tie_the_larger_tier_goes_first() -> None:
    assert urgency(ENTERPRISE, 2.0 - PATIENCE_S[ENTERPRISE]) < urgency(SMALL, 2.0 - PATIENCE_S[SMALL])
    assert Urgency(1.0, 0) < Urgency(1.0, ITEMS_RANK)


def test_who_leaves_waits_no_longer() -> None:
    waiting: Waiting[int] = Waiting()
    waiting.add(1, MEDIUM, 0.0)
    assert waiting.discard(1)
    assert not waiting.discard(1)
    assert len(waiting) == 0


@given(st.lists(st.lists(tiers, max_size=4), max_size=60), st.integers(1, 12))
def test_nobody_waits_longer_than_the_targets_differ_and_all_places_take(
    arrivals: list[list[TierName]], places: int
) -> None:
    """However many of larger tiers come, and they never end."""
    waiting: Waiting[tuple[int, int]] = Waiting()
    came: dict[tuple[int, int], tuple[TierName, float]] = {}
    small_left, tick = 0, 0
    while tick < len(arrivals) or small_left:
        now_s = tick * TICK_S
        flood = [ENTERPRISE] * places
        for number, tier in enumerate(arrivals[tick] + flood if tick < len(arrivals) else flood):
            if len(waiting) < places:
                came[tick, number] = tier, now_s
                waiting.add((tick, number), tier, now_s)
                small_left += tier is not ENTERPRISE
        if (first := waiting.first()) is not None:
            waiting.discard(first)
            tier, came_s = came[first]
            small_left -= tier is not ENTERPRISE
            overtaken_s = PATIENCE_S[tier] - PATIENCE_S[ENTERPRISE]
            assert now_s - came_s <= overtaken_s + (places + 1) * TICK_S
        tick += 1
        assert tick < 1_000, "somebody waits for ever"


@given(st.lists(st.tuples(tiers, st.floats(0.0, 0.5)), max_size=40))
def test_what_waits_is_in_the_order_of_its_urgency_and_nothing_is_lost(arrivals: list[tuple[TierName, float]]) -> None:
    waiting: Waiting[int] = Waiting()
    now_s, told = 0.0, []
    for number, (tier, later_s) in enumerate(arrivals):
        now_s += later_s
        waiting.add(number, tier, now_s)
        told.append(urgency(tier, now_s))
    assert waiting.urgency() == min(told, default=None)
    order = order_of(waiting)
    assert sorted(order) == list(range(len(arrivals)))
    assert [told[number] for number in order] == sorted(told)


@pytest.mark.parametrize("tier", list(TierName))
def test_a_flood_of_one_tier_leaves_the_others_their_places(tier: TierName) -> None:
    places, kept = Places(64), kept_of(64)
    while places.take(tier):
        pass
    assert places.taken == 64 - sum(count for other, count in kept.items() if other is not tier)
    for other in set(TierName) - {tier}:
        assert [places.take(other) for _ in range(kept[other] + 1)] == [True] * kept[other] + [False]
    assert places.taken == 64


@given(st.integers(1, 200), st.lists(st.tuples(st.booleans(), tiers)))
def test_places_are_never_more_than_there_are_and_come_back(count: int, steps: list[tuple[bool, TierName]]) -> None:
    places, taken = Places(count), Counter[TierName]()
    for enters, tier in steps:
        if enters:
            taken[tier] += places.take(tier)
        elif taken[tier]:
            places.leave(tier)
            taken[tier] -= 1
        assert places.taken == taken.total() <= count
    for tier in taken.elements():
        places.leave(tier)
    assert [places.take(MEDIUM) for _ in range(count)].count(True) == count - sum(kept_of(count).values()) + (
        kept_of(count)[MEDIUM]
    )


def test_the_places_that_are_kept_follow_the_reserved_shares_and_a_few_are_not_divided() -> None:
    assert sum(kept_of(1_000).values()) == 1_000 * KEPT_SHARE
    assert list(kept_of(1_000)) == list(TierName)
    assert kept_of(1_000)[ENTERPRISE] == 1_000 * KEPT_SHARE * TIERS[ENTERPRISE].reserved_ppm / 1_000_000
    assert sum(kept_of(3).values()) == 0


@pytest.mark.parametrize(
    ("word", "tier"), [("small", SMALL), ("enterprise", ENTERPRISE), ("huge", MEDIUM), (None, MEDIUM)]
)
def test_a_tier_that_is_not_named_or_unknown_is_the_default(word: str | None, tier: TierName) -> None:
    assert tier_named(word) is tier


@pytest.mark.parametrize(
    ("rank", "running", "alone", "begins"),
    [
        (3, [], False, True),
        (3, [0], False, True),
        (3, [3, 3], False, False),
        (3, [3, 3], True, True),
        (3, [3, 3, 3], True, False),
        (0, [3, 3], False, True),
        (0, [3, 3, 3], False, True),
        (0, [0, 3], False, False),
        (0, [3, 3, 3, 3], True, False),
    ],
)
def test_two_runs_at_once_and_a_few_more_for_what_must_not_wait(
    rank: int, running: list[int], alone: bool, begins: bool
) -> None:
    assert may_begin(rank, running, 2, 2, alone=alone) is begins


@given(st.floats(0.0, 0.1))
def test_work_from_the_queues_has_its_share_however_much_else_waits(ran_s: float) -> None:
    waits_s = urgency_of_items(10.0, ran_s).due_s - 10.0
    assert ran_s == pytest.approx(ITEMS_SHARE * (ran_s + waits_s))
    assert urgency_of_items(10.0, ran_s).rank == ITEMS_RANK


RUN_S, CORES, STEP_S = 0.010, 2, 0.001


def latencies_s(load: float, seconds: float) -> dict[TierName, list[float]]:
    """Of the answers of a machine that runs requests of RUN_S, which come at random, sharing its cores among runs."""
    chance, waiting, running = Random(7), Waiting[int](), dict[int, float]()
    asked: list[tuple[TierName, float]] = []
    took: dict[TierName, list[float]] = {tier: [] for tier in TierName}
    now_s = next_s = 0.0
    while now_s < seconds:
        while next_s <= now_s:
            waiting.add(len(asked), tier := chance.choice(list(TierName)), next_s)
            asked.append((tier, next_s))
            next_s += chance.expovariate(load * CORES / RUN_S)
        while (first := waiting.first()) is not None:
            ranks = [RANKS[asked[number][0]] for number in running]
            if not may_begin(RANKS[asked[first][0]], ranks, CORES, 2, alone=False):
                break
            waiting.discard(first)
            running[first] = RUN_S
        now_s += STEP_S
        for number in list(running):
            running[number] -= STEP_S * min(1, CORES / len(running))
        for number in [number for number, left_s in running.items() if left_s <= 0]:
            del running[number]
            tier, came_s = asked[number]
            took[tier].append(now_s - came_s)
    return took


def test_at_four_fifths_of_a_machine_larger_tiers_are_answered_sooner() -> None:
    p95_s = {tier: quantiles(took_s, n=20)[-1] for tier, took_s in latencies_s(0.8, 60.0).items()}
    assert p95_s[ENTERPRISE] < p95_s[LARGE] < p95_s[MEDIUM] < p95_s[SMALL]
    assert p95_s[ENTERPRISE] <= 0.25 * p95_s[SMALL]
    assert p95_s[ENTERPRISE] <= 2.5 * RUN_S


def test_beyond_what_a_machine_can_do_the_smallest_tier_still_has_its_share_of_the_answers() -> None:
    answers = {tier: len(took_s) for tier, took_s in latencies_s(1.3, 20.0).items()}
    assert answers[SMALL] >= 0.75 * sum(answers.values()) / len(answers)
