"""Advice on a workload that can be placed: the cheaper ways that there are to have it done."""

from datetime import datetime

from backend.domain.advice import Alternative, Wish, alternatives
from backend.domain.orders import MarketState
from backend.domain.placement import feasible
from backend.services.placement import Catalogue, Plan
from backend.storage.unit_of_work import UnitOfWork


def advise(uow: UnitOfWork, now: datetime, ready: Plan, known: Catalogue) -> tuple[Alternative, ...]:
    """Cheaper ways than a plan's own, inside an open unit of work; only markets with a node that meets its needs."""
    first = next((state for state in ready.markets if state.slots), ready.markets[0])
    able = [state for state in known.markets if _suits(ready, known, state)]
    usual = uow.price_points.usual([first.market], now)
    return alternatives(Wish(first, ready.tier, ready.expected_us), able, usual)


def _suits(ready: Plan, known: Catalogue, state: MarketState) -> bool:
    needs = ready.request.needs
    if not needs.hard:
        return True
    return state.market in known.stock.columns and bool(feasible(needs, known.stock.columns[state.market]).any())
