"""What the markets have on sale, for orders that need something of their nodes; others never look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from backend.domain.errors import Unavailable
from backend.domain.machines import Machine, Needs
from backend.domain.orders import MarketState, WorkloadRequest
from backend.domain.placement import Machines, feasible, shortfalls
from backend.domain.placement.shortfalls import NONE, Shortfall
from backend.domain.pricing import Market
from backend.storage.unit_of_work import UnitOfWork

COMPARED_MAX = 1_000  # machines that a refusal looks at; a batch may be refused a thousand times in one transaction
SIZES_SHOWN_MAX = 5


@dataclass(frozen=True, slots=True)
class Stock:
    """The living machines with an open offer, by market, as rows and as columns; as if all were idle."""

    machines: Mapping[Market, list[Machine]]
    columns: Mapping[Market, Machines]


NO_STOCK = Stock({}, {})


def stock_for(uow: UnitOfWork, now: datetime, requests: Sequence[WorkloadRequest]) -> Stock:
    """What these requests choose from: one statement if any of them has needs, or is private, else none."""
    if not any(request.needs.hard or request.private for request in requests):
        return NO_STOCK
    machines = uow.nodes.on_sale(now)
    return Stock(machines, {market: Machines.of(found) for market, found in machines.items()})


def suitable_first(
    request: WorkloadRequest, slots_max: int, markets: list[MarketState], stock: Stock
) -> list[MarketState]:
    """An order's markets, those first that have a machine which meets its needs once it is idle.

    `slots_max` is what an order of its tier may ask for. Raises Unavailable(`needs_unmet`) with what the nearest
    machine lacks, if there are machines and none of them does, or with the sizes of those that do if the order has too
    few slots for any whole one; where nothing lives at all an order waits, with needs as without.
    """
    needs = request.needs
    if not needs.hard:
        return markets
    living = [state.market for state in markets if state.market in stock.columns]
    suits = {market: feasible(needs, stock.columns[market]) for market in living}
    able = {market for market in living if suits[market].any()}
    if living and not able:
        raise _unmet(needs, [machine for market in living for machine in stock.machines[market]])
    if needs.dedicated:
        slots = {market: stock.columns[market].slots[suits[market]] for market in able}
        able = {market for market in able if (slots[market] <= request.slots).any()}
        if living and not able:
            raise _too_few_slots(request.slots, slots_max, np.unique(np.concatenate([*slots.values()])).tolist())
    return sorted(markets, key=lambda state: state.market not in able)


def _unmet(needs: Needs, machines: Sequence[Machine]) -> Unavailable:
    lacking = shortfalls(needs, machines[:COMPARED_MAX])
    wanted = "; ".join(short.told for short in lacking)
    return Unavailable(
        f"no node has what is needed: {wanted}",
        code="needs_unmet",
        field=f"needs.{lacking[0].need}",
        accepted="; ".join(f"{short.need} {_instead(short)}" for short in lacking),
    )


def _instead(short: Shortfall) -> str:
    return "left out" if short.best == NONE else short.best


def _too_few_slots(slots: int, slots_max: int, sizes: Sequence[int]) -> Unavailable:
    shown = ", ".join(map(str, sizes[:SIZES_SHOWN_MAX])) + (", …" if len(sizes) > SIZES_SHOWN_MAX else "")
    most = "" if sizes[0] <= slots_max else f", and orders of this tier have {slots_max} at most"
    return Unavailable(
        f"dedicated takes nodes whole: those that suit have {shown} slots{most}; {slots} asked",
        code="needs_unmet",
        field="needs.dedicated" if most else "slots",
        accepted="dedicated left out" if most else f"{sizes[0]} or more, or dedicated left out",
    )
