"""A round's end: the strategy gets what it needs or refuses, keeps its state, and takes little memory."""

import tracemalloc

import numpy as np
import pytest

from backend.domain.federated.aggregation import aggregate
from backend.domain.federated.averaging import CentralPrivacy, private_mean, weighted_mean
from backend.domain.federated.strategies import STRATEGIES, Strategy, strategy_named
from backend.domain.federated.updates import Update
from backend.domain.federated.weights import Floats
from tests.unit.domain.federated.files import file_of, update_of, updates_of
from tests.unit.domain.refusals import refusal

SIZE = 200
EXTRA_BYTES_MAX = 64 << 20
STATEFUL = [name for name in STRATEGIES if strategy_named(name).has_state]


def rows(count: int, size: int = SIZE, seed: int = 5) -> Floats:
    return np.random.default_rng(seed).standard_normal((count, size), np.float32)


def privacy(clip: float = 1.0, noise_std: float = 0.1) -> CentralPrivacy:
    return CentralPrivacy(clip, noise_std, np.random.default_rng(1))


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_aggregates_its_least_number_and_refuses_one_less(name: str) -> None:
    strategy = strategy_named(name)
    least = strategy.participants_min
    base, updates = rows(1)[0], updates_of(rows(least, seed=1))
    result = aggregate(strategy, base, updates)
    assert result.weights.shape == (SIZE,)
    assert result.weights.dtype == np.float32
    assert (result.state is not None) is strategy.has_state
    assert set(result.used) <= set(range(least))
    error = refusal(lambda: aggregate(strategy, base, updates[1:]))
    assert (error.code, error.accepted) == ("too_few_updates", f"{least} or more")


@pytest.mark.parametrize("name", STRATEGIES)
def test_where_all_participants_sent_the_base_back_it_stays(name: str) -> None:
    strategy = strategy_named(name)
    base = rows(1)[0]
    result = aggregate(strategy, base, [update_of(base)] * strategy.participants_min)
    np.testing.assert_allclose(result.weights, base, atol=1e-6)


def test_which_updates_are_in_the_result_is_told() -> None:
    drawn = np.vstack([rows(6) * np.float32(0.1), np.full((1, SIZE), 9.0, np.float32)])
    updates, base = updates_of(drawn, [3, 1, 4, 1, 5, 9, 2]), np.zeros(SIZE, np.float32)
    [best] = aggregate(strategy_named("krum", {"malicious": 1}), base, updates).used
    several = aggregate(strategy_named("multikrum", {"malicious": 1, "keep": 3}), base, updates)
    all_but_one = aggregate(strategy_named("multikrum", {"malicious": 1}), base, updates)
    assert len(several.used) == 3
    assert best in several.used
    assert several.weights.tolist() == weighted_mean([updates[number] for number in several.used]).tolist()
    assert all_but_one.used == (0, 1, 2, 3, 4, 5)
    assert aggregate(strategy_named("fedavg"), base, updates).used == tuple(range(7))


def test_the_result_of_krum_is_its_own_and_not_a_view_of_a_file_that_will_go() -> None:
    updates = updates_of(rows(5))
    result = aggregate(strategy_named("krum"), rows(1)[0], updates)
    assert result.weights.flags.writeable
    assert not any(np.shares_memory(result.weights, update.weights.flat()) for update in updates)


@pytest.mark.parametrize("name", STATEFUL)
def test_a_strategy_with_memory_goes_on_from_its_state_and_leaves_that_as_it_was(name: str) -> None:
    strategy, base = strategy_named(name), rows(1)[0]
    first = aggregate(strategy, base, updates_of(rows(3, seed=1)))
    assert first.state is not None
    kept = {key: array.copy() for key, array in first.state.items()}
    for array in first.state.values():
        array.flags.writeable = False  # as it is when it was read from a file
    second = aggregate(strategy, first.weights, updates_of(rows(3, seed=2)), first.state)
    forgetful = aggregate(strategy, first.weights, updates_of(rows(3, seed=2)))
    assert not np.allclose(second.weights, forgetful.weights, atol=1e-6)
    assert all((first.state[key] == array).all() for key, array in kept.items())
    assert second.state is not None
    assert second.state.keys() == kept.keys()


@pytest.mark.parametrize("name", STATEFUL)
def test_the_state_of_another_model_is_refused(name: str) -> None:
    other = aggregate(strategy_named(name), rows(1, 7)[0], updates_of(rows(3, 7))).state
    for state in (other, {}):
        error = refusal(lambda state=state: aggregate(strategy_named(name), rows(1)[0], updates_of(rows(3)), state))  # type: ignore[misc]
        assert error.code == "invalid_state"


@pytest.mark.parametrize("name", STRATEGIES)
def test_central_privacy_is_for_strategies_in_which_clipping_bounds_a_participant(name: str) -> None:
    strategy = strategy_named(name)
    base, updates = rows(1)[0], updates_of(rows(strategy.participants_min, seed=1))
    if strategy.takes_central_privacy:
        private = aggregate(strategy, base, updates, privacy=privacy()).weights
        assert not np.allclose(private, aggregate(strategy, base, updates).weights, atol=1e-3)
    else:
        error = refusal(lambda: aggregate(strategy, base, updates, privacy=privacy()))
        assert (error.code, error.field) == ("invalid_privacy", "privacy.mode")


def test_fedavg_with_central_privacy_is_the_private_mean() -> None:
    base, updates = rows(1)[0], updates_of(rows(4, seed=1), [1, 2, 3, 4])
    result = aggregate(strategy_named("fedavg"), base, updates, privacy=privacy())
    assert result.weights.tolist() == private_mean(base, updates, privacy()).tolist()


def test_weights_that_became_infinite_are_not_given_out() -> None:
    base = np.full(SIZE, 3e38, np.float32)
    strategy = strategy_named("fedavgm", {"server_learning_rate": 100})
    error = refusal(lambda: aggregate(strategy, base, [update_of(-base)]))
    assert error.code == "diverged"


@pytest.mark.parametrize("name", ["fedadam", "median", "trimmed_mean", "multikrum"])
def test_five_hundred_participants_take_64_mb_at_most_beside_result_and_state(name: str) -> None:
    assert extra_bytes(strategy_named(name), None) < EXTRA_BYTES_MAX


def test_five_hundred_private_participants_take_64_mb_at_most_beside_the_result() -> None:
    assert extra_bytes(strategy_named("fedavg"), privacy()) < EXTRA_BYTES_MAX


def extra_bytes(strategy: Strategy, private: CentralPrivacy | None) -> int:
    """The most memory at once, less what the result is; all updates together are 80 MB, and none can be a view."""
    base = rows(1, 40_000)[0]
    data = file_of({"w": base + 1}, padding=1)
    if len(data) % 4 == 0:
        data = file_of({"w": base + 1}, padding=2)
    updates = [Update(data, 1) for _ in range(500)]
    tracemalloc.start()
    try:
        result = aggregate(strategy, base, updates, privacy=private)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak - result.weights.nbytes - sum(array.nbytes for array in (result.state or {}).values())
