"""Who goes first where requests of all tiers wait for the same machine, and why nobody waits for ever.

Earliest due first (Liu & Layland 1973): a request is due when its tier's latency target has gone by since it came. So
larger tiers go before smaller ones, but whoever has waited long goes before all that came after it was due: it is
overtaken only by what came less than the difference of the targets after it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

from backend.domain.tiers import TIERS, TIERS_BY_NAME, TierName

T = TypeVar("T")

TIER_HEADER = "Swarmex-Tier"  # of a client's request, and of what a gateway sends on: the tier that pays for it
RANKS = {name: tier.rank for name, tier in TIERS.items()}  # 0 goes first on a tie
PATIENCE_S = {name: tier.latency_ms_p95 / 1_000 for name, tier in TIERS.items()}
ITEMS_RANK = 1 + max(RANKS.values())  # of work from the queues: behind everybody who waits
ITEMS_SHARE = 0.25  # of the time of one run after the other, which work from the queues has whoever else waits
KEPT_SHARE = 0.25  # of all places, which is kept for the tiers by their reserved shares

_TERMS = {name: (rank, PATIENCE_S[name]) for name, rank in RANKS.items()}
_BY_RANK = sorted(RANKS, key=RANKS.__getitem__)


@dataclass(frozen=True, slots=True, order=True)
class Urgency:
    """The smaller, the sooner: when it is due, and on a tie the rank, 0 first. `due_s` is of a clock without jumps."""

    due_s: float
    rank: int


def tier_named(word: str | None) -> TierName:
    """The tier that a gateway names; medium, the default, for what it does not or what is no tier here."""
    return TIERS_BY_NAME.get(word or "", TierName.MEDIUM)


def urgency(tier: TierName, came_s: float) -> Urgency:
    """How urgent a request of a tier is that came then."""
    return Urgency(came_s + PATIENCE_S[tier], RANKS[tier])


def urgency_of_items(now_s: float, ran_s: float) -> Urgency:
    """How urgent work from the queues is whose last run ended now and took `ran_s`.

    It is due so soon that it gets ITEMS_SHARE of the time of one run after the other, however much else waits.
    """
    return Urgency(now_s + ran_s * (1 / ITEMS_SHARE - 1), ITEMS_RANK)


def kept_of(places: int) -> dict[TierName, int]:
    """How many of so many places are kept for each tier; together KEPT_SHARE of them, rounded down."""
    return {name: int(places * KEPT_SHARE * tier.reserved_ppm / 1_000_000) for name, tier in TIERS.items()}


def may_begin(rank: int, running: Collection[int], runs: int, spare: int, *, alone: bool) -> bool:
    """Whether a run may begin beside those of these ranks, on a machine that does `runs` at once well.

    `spare` more may share its time with them: all but one of these for a model of which nothing runs yet (`alone`), so
    that no slow one holds up all others, and the last only for what goes before everything that runs.
    """
    if len(running) < runs:
        return True
    if len(running) >= runs + spare:
        return False
    return rank < min(running) or (alone and len(running) < runs + spare - 1)


class Waiting(Generic[T]):
    """What waits, each thing once: the most urgent first, those of one tier as they came. `now_s` never goes back."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[int, dict[T, float]] = {}  # by rank, none empty: when each is due

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, item: T, tier: TierName, now_s: float) -> None:
        """It waits from now on."""
        rank, patience_s = _TERMS[tier]
        line = self._lines.get(rank)
        if line is None:
            line = self._lines[rank] = {}
        line[item] = now_s + patience_s

    def first(self) -> T | None:
        """Who goes next."""
        return next(iter(self._lines[self._first()])) if self._lines else None

    def urgency(self) -> Urgency | None:
        """How urgent that is."""
        if not self._lines:
            return None
        rank = self._first()
        return Urgency(next(iter(self._lines[rank].values())), rank)

    def discard(self, item: T) -> bool:
        """It waits no longer; whether it did."""
        for rank, line in self._lines.items():
            if line.pop(item, None) is not None:
                if not line:
                    del self._lines[rank]
                return True
        return False

    def _first(self) -> int:
        """The rank of who goes next, if anybody waits."""
        if len(self._lines) == 1:
            return next(iter(self._lines))
        found, soonest_s = -1, inf
        for rank, line in self._lines.items():
            due_s = next(iter(line.values()))
            if due_s < soonest_s or (due_s == soonest_s and rank < found):
                found, soonest_s = rank, due_s
        return found


class Places:
    """A number of places for requests, of which each tier has some that no flood of others takes."""

    __slots__ = ("_common", "_kept", "_taken", "_taken_in_common")

    def __init__(self, places: int) -> None:
        kept = kept_of(places)
        self._kept = [kept[tier] for tier in _BY_RANK]
        self._common = places - sum(self._kept)
        self._taken = [0] * len(_BY_RANK)
        self._taken_in_common = 0

    @property
    def taken(self) -> int:
        """How many are taken."""
        return sum(self._taken)

    def take(self, tier: TierName) -> bool:
        """Take one; False when there is none for this tier."""
        rank = RANKS[tier]
        if self._taken[rank] >= self._kept[rank]:
            if self._taken_in_common >= self._common:
                return False
            self._taken_in_common += 1
        self._taken[rank] += 1
        return True

    def leave(self, tier: TierName) -> None:
        """Give one back that was taken."""
        rank = RANKS[tier]
        self._taken[rank] -= 1
        if self._taken[rank] >= self._kept[rank]:
            self._taken_in_common -= 1
