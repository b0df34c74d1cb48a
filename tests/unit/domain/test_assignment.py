"""The assignment of the largest surplus, up to the size to which it is exact."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.placement import Pairs, maximum_surplus
from tests.unit.domain.assignments import Ints, Problem, dense, problem, problems


def solved(asked: Problem) -> Ints:
    return maximum_surplus(asked.pairs, asked.demand, asked.supply)


@given(problems())
def test_no_capacity_of_a_bid_an_ask_or_a_pair_is_ever_exceeded(asked: Problem) -> None:
    assert asked.keeps_capacities(solved(asked))


@given(problems())
def test_the_surplus_is_the_one_that_a_linear_program_finds(asked: Problem) -> None:
    assert asked.surplus(solved(asked)) == asked.best_by_linear_program()


@pytest.mark.parametrize("seed", range(3))
def test_the_surplus_of_a_market_is_the_one_that_a_linear_program_finds(seed: int) -> None:
    asked = dense(np.random.default_rng(seed), bids=60, asks=30, density=0.3)

    assert asked.surplus(solved(asked)) == asked.best_by_linear_program()


@given(problems(), st.randoms(use_true_random=False))
def test_the_surplus_does_not_depend_on_the_order_of_pairs(asked: Problem, random: Random) -> None:
    order = np.array(random.sample(range(len(asked.pairs)), len(asked.pairs)), np.int64)
    pairs = asked.pairs
    shuffled = Pairs(pairs.bid[order], pairs.ask[order], pairs.gain[order], pairs.slots[order])

    slots = maximum_surplus(shuffled, asked.demand, asked.supply)

    assert int(shuffled.gain @ slots) == asked.surplus(solved(asked))


@given(problems())
def test_the_same_pairs_give_the_same_slots(asked: Problem) -> None:
    assert np.array_equal(solved(asked), solved(asked))


def test_an_order_gives_way_on_the_machine_that_another_one_needs_more() -> None:
    asked = problem([(0, 0, 10, 1), (0, 1, 9, 1), (1, 0, 8, 1)], demand=[1, 1], supply=[1, 1])

    assert solved(asked).tolist() == [0, 1, 1]


def test_one_good_pair_goes_before_two_poor_ones() -> None:
    asked = problem([(0, 0, 10, 1), (0, 1, 1, 1), (1, 0, 1, 1)], demand=[1, 1], supply=[1, 1])

    assert solved(asked).tolist() == [1, 0, 0]


def test_a_slot_that_gains_nothing_is_still_taken() -> None:
    assert solved(problem([(0, 0, 0, 2)], demand=[3], supply=[2])).tolist() == [2]


def test_of_equal_surpluses_the_one_of_more_slots_is_taken() -> None:
    asked = problem([(0, 0, 10, 1), (0, 1, 0, 1), (1, 0, 10, 1)], demand=[1, 1], supply=[1, 1])

    assert solved(asked).tolist() == [0, 1, 1]


def test_a_book_without_pairs_has_no_slots_to_give() -> None:
    assert solved(problem([], demand=[1], supply=[1])).tolist() == []


def test_the_largest_gains_there_are_neither_overflow_nor_lose_a_millionth() -> None:
    random = np.random.default_rng(7)
    small = dense(random, bids=200, asks=100, density=0.3)
    most = int(small.pairs.gain.max())
    scale = 10**18 // most
    pairs = Pairs(small.pairs.bid, small.pairs.ask, small.pairs.gain * scale, small.pairs.slots)
    exact = small.surplus(solved(small))

    slots = maximum_surplus(pairs, small.demand, small.supply)

    assert small.keeps_capacities(slots)
    assert small.surplus(slots) >= exact - exact // 10**6
