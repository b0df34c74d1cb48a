"""Privacy that is spent, against values that are known."""

import math

import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from agents.trainers.accountant import epsilon, local_epsilon

DELTA = 1e-5


def test_the_accountant_gives_its_reference_value() -> None:
    """60,000 examples in batches of 150 for 15 epochs: a figure of others, for the same assumptions."""
    assert epsilon(15 * 60_000 // 150, 150 / 60_000, 1.3, DELTA) == pytest.approx(0.7242, abs=5e-5)


@pytest.mark.parametrize("rounds", [1, 10, 100])
def test_it_is_never_below_the_exact_value_and_near_it(rounds: int) -> None:
    """Of the Gaussian mechanism, by Balle and Wang 2018; composed, it is one of less noise."""
    sigma = 4.0 / math.sqrt(rounds)

    def excess(found: float) -> float:
        near, far = 1 / (2 * sigma) - found * sigma, -1 / (2 * sigma) - found * sigma
        return float(norm.cdf(near) - math.exp(found) * norm.cdf(far)) - DELTA

    exact = brentq(excess, 0, 100)
    assert exact <= epsilon(rounds, 1.0, 4.0, DELTA) <= 1.2 * exact


def test_nothing_is_spent_before_the_first_round() -> None:
    assert epsilon(0, 1.0, 1.0, DELTA) == 0.0


def test_more_rounds_less_noise_and_more_participation_cost_more() -> None:
    usual = epsilon(10, 0.25, 1.0, DELTA)
    assert epsilon(11, 0.25, 1.0, DELTA) > usual
    assert epsilon(10, 0.25, 0.9, DELTA) > usual
    assert epsilon(10, 0.3, 1.0, DELTA) > usual
    assert epsilon(10, 0.25, 1.0, DELTA / 10) > usual


def test_noise_of_ones_own_has_to_cover_twice_the_clip() -> None:
    assert local_epsilon(5, 2.0, DELTA) == epsilon(5, 1.0, 1.0, DELTA)
