"""The end of a round: updates that were checked become the next weights, as the job's strategy says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from backend.domain.errors import Invalid
from backend.domain.federated import server_optimizers as optimizers
from backend.domain.federated.averaging import CentralPrivacy, private_mean, weighted_mean
from backend.domain.federated.krum import Spread, in_turn, krum_order
from backend.domain.federated.robust import median, trimmed_mean
from backend.domain.federated.strategies import Strategy
from backend.domain.federated.updates import Update
from backend.domain.federated.weights import COLUMNS, Floats, columns

State = Mapping[str, Floats]
_Step = Callable[[Floats, Floats, State | None, Mapping[str, float]], State]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The next weights, what the strategy wants to be given in the next round, and which updates are in the weights."""

    weights: Floats
    state: State | None
    used: tuple[int, ...]


def aggregate(
    strategy: Strategy,
    base: Floats,
    updates: Sequence[Update],
    state: State | None = None,
    privacy: CentralPrivacy | None = None,
    spread: Spread = in_turn,
) -> Aggregate:
    """One round: `base` are the weights that its participants were given, `updates` have passed their check.

    Beside the result and the state it takes 64 MB at most, whatever the model and however many updates. `spread` may
    have several lanes of columns summed at once. Raises Invalid: `too_few_updates`, `invalid_privacy`, `invalid_state`,
    or `diverged` where weights would become infinite.
    """
    if len(updates) < strategy.participants_min:
        raise Invalid(
            f"{strategy.name} cannot aggregate {len(updates)} updates",
            code="too_few_updates",
            field="participants_min",
            accepted=f"{strategy.participants_min} or more",
        )
    if privacy is not None and not strategy.takes_central_privacy:
        message = f"{strategy.name} does not bound what one participant can do to its result"
        raise Invalid(message, code="invalid_privacy", field="privacy.mode", accepted="local, or another strategy")
    assert all(update.weights.size == base.size for update in updates)
    with np.errstate(all="ignore"):  # what comes of it is looked at
        weights, used = _combined(strategy, base, updates, privacy, spread)
        after = _STEPS[strategy.name](base, weights, state, strategy.options) if strategy.has_state else None
    if not _is_finite(weights):
        raise Invalid("weights became infinite", code="diverged", field="strategy_options", accepted="smaller steps")
    return Aggregate(weights, after, used)


def _combined(
    strategy: Strategy, base: Floats, updates: Sequence[Update], privacy: CentralPrivacy | None, spread: Spread
) -> tuple[Floats, tuple[int, ...]]:
    """Updates as one, and which of them are in it."""
    everyone = tuple(range(len(updates)))
    options = strategy.options
    match strategy.name:
        case "median":
            return median(updates), everyone
        case "trimmed_mean":
            return trimmed_mean(updates, options["beta"]), everyone
        case "krum":
            best = krum_order(updates, base, int(options["malicious"]), spread)[0]
            return updates[best].weights.flat().copy(), (best,)
        case "multikrum":
            malicious = int(options["malicious"])
            keep = int(options["keep"]) or len(updates) - malicious
            best_ones = sorted(krum_order(updates, base, malicious, spread)[:keep])
            return weighted_mean([updates[number] for number in best_ones]), tuple(best_ones)
        case _ if privacy is not None:
            return private_mean(base, updates, privacy), everyone
        case _:
            return weighted_mean(updates), everyone


def _is_finite(weights: Floats) -> bool:
    return all(bool(np.isfinite(weights[start:stop]).all()) for start, stop in columns(weights.size, COLUMNS))


_STEPS: Mapping[str, _Step] = {
    "fedavgm": optimizers.momentum_step,
    "fedadagrad": partial(optimizers.adaptive_step, moment=optimizers.adagrad),
    "fedadam": partial(optimizers.adaptive_step, moment=optimizers.adam, corrected=True),
    "fedyogi": partial(optimizers.adaptive_step, moment=optimizers.yogi),
}
