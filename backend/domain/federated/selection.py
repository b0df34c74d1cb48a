"""Which nodes take part in a round: weighted fair turns (start-time fair queueing, Goyal et al. 1996).

A node's turn comes after so many asks divided by its weight, which trust and the size of its data raise. So the better
ones are asked more often, and nobody who has data is never asked.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from backend.domain.ids import NodeId
from backend.domain.money import PPM

FAILED_TURNS = 2  # a part that came to nothing counts as so many asks more
TRUST_FLOOR = 0.25  # of the weight of a fully trusted node, that of one without any
SIZE_FACTOR_MAX = 2.0  # more data than the others, or less, changes a weight by this factor at most


class Candidate(Protocol):
    """A living node with an open offer."""

    @property
    def node_id(self) -> NodeId:
        """Which node."""

    @property
    def trust_ppm(self) -> int:
        """The lower bound of its trust."""

    @property
    def slots_free(self) -> int:
        """Slots that nobody has leased now."""


@dataclass(frozen=True, slots=True)
class Past:
    """What a node did in a job so far: how often it was asked, how often in vain, and how many examples it has.

    `declined` is for good: it has no part to give.
    """

    asked: int = 0
    failed: int = 0
    declined: bool = False
    examples: int | None = None


NEW = Past()


def select(candidates: Iterable[Candidate], history: Mapping[NodeId, Past], count: int, seed: str) -> list[NodeId]:
    """At most `count` of the candidates, whose turn it is first; the same for the same arguments, in whatever order.

    Those with a free slot come before all others, none that declined comes at all; equals draw lots, seeded by `seed`.
    """
    willing = [one for one in candidates if not history.get(one.node_id, NEW).declined]
    sizes = [past.examples for past in history.values() if past.examples]
    usual = median(sizes) if sizes else 0
    turns = {one.node_id: _turn(one, history.get(one.node_id, NEW), usual, seed) for one in willing}
    return sorted(turns, key=turns.__getitem__)[: max(0, count)]


def _turn(one: Candidate, past: Past, usual: float, seed: str) -> tuple[bool, float, bytes]:
    weight = _trust_factor(one.trust_ppm) * _size_factor(past.examples, usual)
    asks = 1 + past.asked + FAILED_TURNS * past.failed
    return one.slots_free <= 0, asks / weight, hashlib.sha256(f"{seed} {one.node_id}".encode()).digest()


def _trust_factor(trust_ppm: int) -> float:
    return TRUST_FLOOR + (1 - TRUST_FLOOR) * trust_ppm / PPM


def _size_factor(examples: int | None, usual: float) -> float:
    """Of a node whose data nobody knows yet, as if it had as much as is usual."""
    if not examples or not usual:
        return 1.0
    return min(SIZE_FACTOR_MAX, max(1 / SIZE_FACTOR_MAX, examples / usual))
