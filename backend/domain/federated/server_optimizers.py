"""Server optimizers: the mean of a round's updates is a step that is not taken as it is, but with memory of others.

FedAvgM (Hsu et al. 2019); FedAdagrad, FedAdam and FedYogi (Reddi et al. 2021), as Flower computes them: the second
moment begins at zero, and FedAdam corrects its learning rate with the exponent `round` + 1.
"""

from collections.abc import Callable, Mapping

import numpy as np

from backend.domain.errors import Invalid
from backend.domain.federated.weights import Floats, columns

ROUNDS, MOMENTUM, SECOND = "rounds", "momentum", "second"

Options = Mapping[str, float]
State = Mapping[str, Floats]
Moment = Callable[[Floats, Floats, Options], None]  # changes the first by the second, which are squares


def momentum_step(base: Floats, mean: Floats, state: State | None, options: Options) -> State:
    """Turn `mean` into the next weights, in place, by descent with momentum; returns the next state."""
    momentum = _begun(state, base.size, MOMENTUM)
    rate, kept = np.float32(options["server_learning_rate"]), np.float32(options["server_momentum"])
    for start, stop in columns(base.size):
        step, weights = momentum[start:stop], base[start:stop]
        step *= kept
        step += weights - mean[start:stop]
        mean[start:stop] = weights - rate * step
    return {MOMENTUM: momentum}


def adaptive_step(
    base: Floats, mean: Floats, state: State | None, options: Options, moment: Moment, corrected: bool = False
) -> State:
    """Turn `mean` into the next weights, in place, with a learning rate for each weight; returns the next state.

    `corrected` makes up for moments that began at zero, as Adam does.
    """
    momentum, second = _begun(state, base.size, MOMENTUM), _begun(state, base.size, SECOND)
    rounds = _begun(state, 1, ROUNDS) + np.float32(1)
    correction = _correction(options, float(rounds[0])) if corrected else 1.0
    rate, floor = np.float32(options["eta"] * correction), np.float32(options["tau"])
    kept, taken = np.float32(options["beta_1"]), np.float32(1 - options["beta_1"])
    for start, stop in columns(base.size):
        weights, first = base[start:stop], momentum[start:stop]
        change = mean[start:stop] - weights
        first *= kept
        first += taken * change
        moment(second[start:stop], np.square(change), options)
        mean[start:stop] = weights + rate * first / (np.sqrt(second[start:stop]) + floor)
    return {ROUNDS: rounds, MOMENTUM: momentum, SECOND: second}


def adagrad(second: Floats, squares: Floats, _: Options) -> None:
    """Sum of all squares."""
    second += squares


def adam(second: Floats, squares: Floats, options: Options) -> None:
    """Decaying mean of squares."""
    second *= np.float32(options["beta_2"])
    second += np.float32(1 - options["beta_2"]) * squares


def yogi(second: Floats, squares: Floats, options: Options) -> None:
    """As Adam's, but it nears the squares by a part of them, not of the difference."""
    second -= np.float32(1 - options["beta_2"]) * squares * np.sign(second - squares)


def _correction(options: Options, rounds: float) -> float:
    return float(np.sqrt(1 - options["beta_2"] ** (rounds + 1)) / (1 - options["beta_1"] ** (rounds + 1)))


def _begun(state: State | None, size: int, name: str) -> Floats:
    """A copy of one array of the state, which is not changed; zeros before the first round."""
    if state is None:
        return np.zeros(size, np.float32)
    if name not in state or state[name].shape != (size,):
        raise Invalid("this state is not of that model and strategy", code="invalid_state", field="state")
    return np.array(state[name], np.float32)
