"""The assignment of books above the size that is solved whole."""

import numpy as np
import pytest
from hypothesis import given

from backend.domain.placement import Pairs, assignment, maximum_surplus
from backend.domain.placement.fallback import near_maximum
from tests.unit.domain.assignments import Ints, Problem, dense, planted, problem, problems


def nearly_solved(asked: Problem) -> Ints:
    pairs = asked.pairs
    return near_maximum(pairs.bid, pairs.ask, pairs.gain, pairs.slots, asked.demand, asked.supply)


@given(problems())
def test_no_capacity_is_exceeded_and_nearly_all_of_the_maximum_is_reached(asked: Problem) -> None:
    slots = nearly_solved(asked)

    assert asked.keeps_capacities(slots)
    assert asked.surplus(slots) >= 0.98 * asked.best_by_linear_program()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("bids", "asks", "slots_max"), [(400, 200, 1), (300, 300, 4), (100, 400, 20)])
def test_a_crowded_an_even_and_an_idle_market_come_near_the_exact_maximum(
    seed: int, bids: int, asks: int, slots_max: int
) -> None:
    asked = dense(np.random.default_rng(seed), bids, asks, density=0.3, slots_max=slots_max)
    best = asked.surplus(maximum_surplus(asked.pairs, asked.demand, asked.supply))

    slots = nearly_solved(asked)

    assert asked.keeps_capacities(slots)
    assert asked.surplus(slots) >= 0.98 * best


@pytest.mark.parametrize("slack_nano", [100_000, 500_000, 5_000_000])
def test_partners_hidden_among_a_hundred_pairs_of_each_order_are_found(slack_nano: int) -> None:
    asked = planted(np.random.default_rng(3), bids=1_200, asks=300, each=100, slots=3, slack_nano=slack_nano)

    slots = nearly_solved(asked)

    assert asked.keeps_capacities(slots)
    assert asked.surplus(slots) >= 0.98 * (asked.best or 0)


def test_a_hidden_partner_is_worth_the_maximum_that_it_was_made_for() -> None:
    asked = planted(np.random.default_rng(3), bids=120, asks=30, each=20, slots=3, slack_nano=500_000)

    assert asked.best_by_linear_program() == asked.best


def test_an_order_of_many_slots_that_takes_one_of_each_machine_gets_them_all() -> None:
    asked = problem([(0, ask, 5, 1) for ask in range(200)], demand=[150], supply=[1] * 200)

    assert nearly_solved(asked).sum() == 150


def test_orders_that_are_alike_do_not_crowd_the_same_machines() -> None:
    asked = problem([(bid, ask, 100, 1) for bid in range(200) for ask in range(200)], [1] * 200, [1] * 200)

    assert asked.surplus(nearly_solved(asked)) >= 0.98 * 200 * 100


def test_pairs_may_come_in_any_order() -> None:
    asked = dense(np.random.default_rng(5), bids=200, asks=100, density=0.3)
    best = asked.surplus(maximum_surplus(asked.pairs, asked.demand, asked.supply))
    order = np.random.default_rng(6).permutation(len(asked.pairs))
    pairs = asked.pairs
    shuffled = Problem(
        Pairs(pairs.bid[order], pairs.ask[order], pairs.gain[order], pairs.slots[order]), asked.demand, asked.supply
    )

    slots = nearly_solved(shuffled)

    assert shuffled.keeps_capacities(slots)
    assert shuffled.surplus(slots) >= 0.98 * best


def test_the_same_large_book_gives_the_same_slots() -> None:
    asked = planted(np.random.default_rng(9), bids=400, asks=100, each=50, slots=3, slack_nano=500_000)

    assert np.array_equal(nearly_solved(asked), nearly_solved(asked))


def test_the_largest_gains_there_are_do_not_overflow_the_sums() -> None:
    asked = dense(np.random.default_rng(5), bids=200, asks=100, density=0.3)
    best = asked.surplus(maximum_surplus(asked.pairs, asked.demand, asked.supply))
    pairs, scale = asked.pairs, 10**18 // int(asked.pairs.gain.max())

    slots = near_maximum(pairs.bid, pairs.ask, pairs.gain * scale, pairs.slots, asked.demand, asked.supply)

    assert asked.keeps_capacities(slots)
    assert asked.surplus(slots) >= 0.98 * best


def test_a_book_is_solved_whole_up_to_a_size_and_nearly_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = planted(np.random.default_rng(3), bids=1_200, asks=300, each=100, slots=3, slack_nano=5_000_000)
    whole = maximum_surplus(asked.pairs, asked.demand, asked.supply)

    monkeypatch.setattr(assignment, "PAIRS_EXACT_MAX", len(asked.pairs) - 1)
    nearly = maximum_surplus(asked.pairs, asked.demand, asked.supply)

    assert asked.surplus(whole) == asked.best
    assert np.array_equal(nearly, nearly_solved(asked))
    assert not np.array_equal(nearly, whole)
