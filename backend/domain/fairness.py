"""Who goes first among equals: dominant resource fairness (Ghodsi et al. 2011) as a key to sort orders by.

The account that has least of what it takes most of goes first; with every order that it is given it moves back.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from backend.domain.money import PPM


@dataclass(frozen=True, slots=True)
class Demand:
    """An order's share of each resource: how many of it, by the resource's place in the capacities."""

    account: Hashable
    amounts: tuple[int, ...]


def shares_before(
    demands: Sequence[Demand], capacity: Sequence[int], used: Mapping[Hashable, Sequence[int]]
) -> list[int]:
    """Per demand its account's dominant share in parts per million before it, if those before it were given.

    `demands` come in the order in which each account wants its own; `used` is what accounts have already. A resource
    that there is none of counts for nothing.
    """
    held = {account: list(amounts) for account, amounts in used.items()}
    shares = []
    for demand in demands:
        own = held.setdefault(demand.account, [0] * len(capacity))
        shares.append(
            max((amount * PPM // total for amount, total in zip(own, capacity, strict=True) if total), default=0)
        )
        for place, amount in enumerate(demand.amounts):
            own[place] += amount
    return shares
