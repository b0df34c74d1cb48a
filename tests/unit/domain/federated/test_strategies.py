"""Strategies are known by name; their options are checked before anything is spent, and say what would pass."""

import pytest

from backend.domain.federated.strategies import STRATEGIES, strategy_named
from tests.unit.domain.refusals import refusal


def test_the_ten_strategies_are_those_that_are_documented() -> None:
    averaging = ["fedavg", "fedavgm", "fedadagrad", "fedadam", "fedyogi", "fedprox"]
    assert list(STRATEGIES) == [*averaging, "median", "trimmed_mean", "krum", "multikrum"]
    assert [name for name in STRATEGIES if strategy_named(name).takes_central_privacy] == averaging
    assert [name for name in STRATEGIES if strategy_named(name).has_state] == averaging[1:5]


def test_an_unknown_strategy_is_refused_with_those_that_are_known() -> None:
    error = refusal(lambda: strategy_named("fedsgd"))
    assert (error.code, error.field) == ("invalid_strategy", "strategy")
    assert error.accepted == ", ".join(STRATEGIES)


@pytest.mark.parametrize(
    ("name", "option", "value", "accepted"),
    [
        ("fedavg", "eta", 1.0, "no options"),
        ("fedadam", "gamma", 1.0, "eta, beta_1, beta_2, tau"),
        ("fedadam", "eta", 0.0, "a number from 1e-06 to 100"),
        ("fedadam", "beta_1", 1.0, "a number from 0 to below 1"),
        ("fedadam", "tau", float("nan"), "a number from 1e-09 to 1"),
        ("fedadam", "eta", float("inf"), "a number from 1e-06 to 100"),
        ("fedprox", "proximal_mu", -0.1, "a number from 0 to 1000"),
        ("trimmed_mean", "beta", 0.5, "a number from 0 to below 0.5"),
        ("krum", "malicious", 1.5, "a whole number from 0 to 248"),
        ("krum", "malicious", True, "a whole number from 0 to 248"),
        ("multikrum", "keep", -1, "a whole number from 0 to 500"),
        ("fedavgm", "server_momentum", "0.5", "a number from 0 to below 1"),
    ],
)
def test_an_option_that_cannot_be_is_refused_with_its_range(
    name: str, option: str, value: float, accepted: str
) -> None:
    error = refusal(lambda: strategy_named(name, {option: value}))
    assert (error.code, error.field) == ("invalid_strategy_options", f"strategy_options.{option}")
    assert error.accepted == accepted


def test_options_that_are_not_given_have_their_defaults() -> None:
    strategy = strategy_named("fedadam", {"eta": 0.5})
    assert strategy.options == {"eta": 0.5, "beta_1": 0.9, "beta_2": 0.99, "tau": 1e-9}


@pytest.mark.parametrize(
    ("name", "options", "least"),
    [
        ("fedavg", {}, 1),
        ("median", {}, 3),
        ("trimmed_mean", {"beta": 0.2}, 5),
        ("trimmed_mean", {"beta": 0.3}, 4),
        ("trimmed_mean", {"beta": 0.0}, 1),
        ("krum", {"malicious": 0}, 3),
        ("krum", {"malicious": 2}, 7),
        ("multikrum", {"malicious": 3}, 9),
    ],
)
def test_a_strategy_needs_so_many_updates_that_it_protects(name: str, options: dict[str, float], least: int) -> None:
    assert strategy_named(name, options).participants_min == least


@pytest.mark.parametrize("hundredths", range(1, 50))
def test_a_trimmed_mean_of_the_least_number_trims_one_at_each_end(hundredths: int) -> None:
    share = hundredths / 100
    least = strategy_named("trimmed_mean", {"beta": share}).participants_min
    assert int(share * least) == 1
    assert int(share * (least - 1)) == 0


def test_only_fedprox_tells_its_participants_a_proximal_term() -> None:
    assert strategy_named("fedprox", {"proximal_mu": 0.5}).proximal_mu == 0.5
    assert strategy_named("fedavg").proximal_mu == 0
