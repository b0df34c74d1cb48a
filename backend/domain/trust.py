"""Trust in a node: Beta reputation with exponential decay (Jøsang & Ismail 2002), in which no single buyer weighs much.

Matching counts on the lower bound: the share of good service that a node beats with 95% confidence. What is decided
here is what evidence is worth; where it is found is `services/trust.py`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from backend.domain.ids import AccountId
from backend.domain.money import PPM

HALF_LIFE = timedelta(days=7)  # after so long, evidence is worth half
TRUST_KEPT = 10 * HALF_LIFE  # then a thousandth of it is left, and it is forgotten
LATELY = timedelta(days=1)
QUANTILE = 0.05
BUYER_WEIGHT_MAX = 10.0  # what one account's decayed evidence, good and bad together, counts at most
EXPLAINED_MAX = 100  # parts of an explanation; those with the least effect are left out


class Evidence(StrEnum):
    """What speaks for or against a node.

    Canaries are items with known answers (`services/canaries.py`); updates are those of federated rounds, which are
    judged before they are paid for (`services/judging.py`).
    """

    SERVED = "served"  # an item that ran and was paid for
    FAILED = "failed"  # an attempt that the node gave back with an error
    LAPSED = "lapsed"  # an attempt that it claimed and let run out
    LOST = "lost"  # an order that had a lease on it when its last agent fell silent
    CANARY_PASSED = "canary_passed"
    CANARY_FAILED = "canary_failed"
    UPDATE_REJECTED = "update_rejected"
    OVERSTATED = "overstated"  # more time reported of an item than the node had it


GOOD: Mapping[Evidence, float] = {Evidence.SERVED: 1.0, Evidence.CANARY_PASSED: 1.0}
BAD: Mapping[Evidence, float] = {
    Evidence.FAILED: 2.0,
    Evidence.LAPSED: 2.0,  # not less than a failure, or nobody would own up to one
    Evidence.LOST: 5.0,
    Evidence.CANARY_FAILED: 20.0,  # a wrong answer that was charged for is worse than none
    Evidence.UPDATE_REJECTED: 2.0,
    Evidence.OVERSTATED: 5.0,  # never by mistake; the bill was cut to what was seen
}


@dataclass(frozen=True, slots=True)
class TrustEvent:
    """Something that a node did `count` times about `at`, to an account or, without one, to the market's canaries."""

    kind: Evidence
    account_id: AccountId | None
    count: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Part:
    """What one kind of evidence of one buyer does to a score.

    Buyers are numbered from 1 by their first evidence, None is the market itself; `weight` is decayed, `counted` is
    what the buyer's cap leaves of it; without this part the score would be `effect_ppm` less.
    """

    kind: Evidence
    buyer: int | None
    count: int
    weight: float
    counted: float
    effect_ppm: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """A score, the parts that it is made of, and what changed it since a day ago: new evidence, and old that faded."""

    score_ppm: int
    parts: tuple[Part, ...]
    before_ppm: int
    lately: tuple[Part, ...]


Weights = dict[AccountId | None, dict[Evidence, float]]


def lower_bound_ppm(events: Iterable[TrustEvent], now: datetime) -> int:
    """The share of good service, in parts per million, that a node with this evidence beats with 95% confidence."""
    return lower_bounds_ppm([events], now)[0]


def lower_bounds_ppm(histories: Sequence[Iterable[TrustEvent]], now: datetime) -> list[int]:
    """The lower bound of each node's history."""
    return _quantiles_ppm([_totals(_weights(events, now)) for events in histories])


def explain(events: Sequence[TrustEvent], now: datetime) -> Explanation:
    """Why a node with this evidence has its score: what each kind from each buyer does to it, the most first."""
    then = now - LATELY
    weights = _weights(events, now)
    buyers = _numbered(events)
    recent = [event for event in events if event.at > then]
    return Explanation(
        _quantiles_ppm([_totals(weights)])[0],
        _parts(events, weights, buyers, now),
        lower_bound_ppm([event for event in events if event.at <= then], then),
        _parts(recent, weights, buyers, now),
    )


def _weights(events: Iterable[TrustEvent], now: datetime) -> Weights:
    """Per buyer and kind, what the evidence is worth by now; what comes from the future is as if of now."""
    weights: Weights = defaultdict(lambda: defaultdict(float))
    for event in events:
        age = max(now - event.at, timedelta(0))
        worth = GOOD.get(event.kind) or BAD[event.kind]
        weights[event.account_id][event.kind] += worth * event.count * 0.5 ** (age / HALF_LIFE)
    return weights


def _share(buyer: AccountId | None, kinds: Mapping[Evidence, float]) -> float:
    """What part of a buyer's evidence counts: good and bad are cut alike. The market's own counts in full."""
    total = sum(kinds.values())
    return 1.0 if buyer is None or total <= BUYER_WEIGHT_MAX else BUYER_WEIGHT_MAX / total


def _counted(buyer: AccountId | None, kinds: Mapping[Evidence, float]) -> tuple[float, float]:
    share = _share(buyer, kinds)
    good = sum(weight for kind, weight in kinds.items() if kind in GOOD)
    bad = sum(weight for kind, weight in kinds.items() if kind in BAD)
    return share * good, share * bad


def _totals(weights: Weights) -> tuple[float, float]:
    counted = [_counted(buyer, kinds) for buyer, kinds in weights.items()]
    return sum(good for good, _ in counted), sum(bad for _, bad in counted)


def _quantiles_ppm(totals: Sequence[tuple[float, float]]) -> list[int]:
    """The 5% quantile of Beta(1 + good, 1 + bad) for each pair."""
    if not totals:
        return []
    import numpy as np
    from scipy.special import betaincinv  # slow to import, and only the settlement agent scores

    good, bad = np.asarray(totals).T
    return [round(share * PPM) for share in betaincinv(1 + good, 1 + bad, QUANTILE).tolist()]


def _numbered(events: Iterable[TrustEvent]) -> dict[AccountId | None, int | None]:
    first: dict[AccountId, datetime] = {}
    for event in events:
        if event.account_id is not None:
            first[event.account_id] = min(event.at, first.get(event.account_id, event.at))
    ordered = sorted(first, key=lambda account: (first[account], account))
    return {None: None} | {account: number for number, account in enumerate(ordered, 1)}


def _parts(
    events: Iterable[TrustEvent], weights: Weights, buyers: Mapping[AccountId | None, int | None], now: datetime
) -> tuple[Part, ...]:
    """The parts that `events`, some or all of the evidence in `weights`, make, by their effect."""
    counts: dict[tuple[AccountId | None, Evidence], int] = defaultdict(int)
    for event in events:
        counts[event.account_id, event.kind] += event.count
    worth = _weights(events, now)
    good, bad = _totals(weights)
    without = []
    for buyer, kind in counts:
        kinds = weights[buyer]
        had = _counted(buyer, kinds)
        left = _counted(buyer, dict(kinds) | {kind: max(kinds[kind] - worth[buyer][kind], 0.0)})
        without.append((max(good - had[0] + left[0], 0.0), max(bad - had[1] + left[1], 0.0)))
    score, *others = _quantiles_ppm([(good, bad), *without])
    parts = [
        Part(
            kind,
            buyers[buyer],
            counts[buyer, kind],
            worth[buyer][kind],
            worth[buyer][kind] * _share(buyer, weights[buyer]),
            score - other,
        )
        for (buyer, kind), other in zip(counts, others, strict=True)
    ]
    parts.sort(key=lambda part: (-abs(part.effect_ppm), -part.counted, part.buyer or 0, part.kind))
    return tuple(parts[:EXPLAINED_MAX])
