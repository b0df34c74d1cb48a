"""Who goes first among equals: weighted dominant resource fairness (Ghodsi et al. 2011, §4.3) as a key to sort by.

The account that has least of what it takes most of goes first; with every order that it is given it moves back. What is
used in a tier of weight eight counts for an eighth.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from backend.domain.money import PPM


@dataclass(frozen=True, slots=True)
class Demand:
    """What an account takes of each resource, by the resource's place in the capacities, at a tier's weight."""

    account: Hashable
    amounts: tuple[int, ...]
    weight: int = 1


def shares_before(demands: Sequence[Demand], capacity: Sequence[int], held: Iterable[Demand] = ()) -> list[int]:
    """Per demand its account's dominant share in parts per million before it, if those before it were given.

    `demands` come in the order in which each account wants its own; `held` is what accounts have already. A resource
    that there is none of counts for nothing.
    """
    nothing = [0] * len(capacity)
    taken: dict[Hashable, list[int]] = {}  # millionths of each resource, weighed

    def take(demand: Demand) -> None:
        own = taken.setdefault(demand.account, [*nothing])
        for place, amount in enumerate(demand.amounts):
            own[place] += amount * PPM // demand.weight

    for already in held:
        take(already)
    shares = []
    for demand in demands:
        own = taken.get(demand.account, nothing)
        shares.append(max((part // total for part, total in zip(own, capacity, strict=True) if total), default=0))
        take(demand)
    return shares
