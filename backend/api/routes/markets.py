"""Markets: their depth for everybody, their books for admins, and the rules that they follow."""

from typing import Annotated

from fastapi import APIRouter, Query

from backend.api.dependencies import Market, Now
from backend.api.security import Admin, Anyone
from backend.api.wire.base import Text
from backend.api.wire.markets import Book, Depth, NewRule, Rule
from backend.services import depth, market_rules

router = APIRouter(prefix="/api/v1/markets", tags=["markets"])


@router.get("/depth")
def list_depth(_: Anyone, market: Market, now: Now) -> list[Depth]:
    """Free slots and waiting demand of every market in bands around its spot price; no single quote can be told."""
    return [Depth.of(found) for found in depth.market_depth(market.uow(), now)]


@router.get("/book")
def show_book(
    caller: Admin,
    market: Market,
    now: Now,
    resource_class: Text | None = None,
    region: Text | None = None,
    limit: Annotated[int, Query(ge=1, le=depth.BOOK_MAX)] = depth.BOOK_MAX,
) -> Book:
    """Every open order with its limit and every open offer with its ask, of all markets or a class or region."""
    return Book.of(depth.market_book(market.uow(), now, caller, resource_class, region, limit))


@router.get("/rules")
def list_rules(_: Anyone, market: Market) -> list[Rule]:
    """The rules of every market."""
    return [Rule.of(rule) for rule in market_rules.list_rules(market.uow())]


@router.post("/rules")
def set_rule(body: NewRule, caller: Admin, market: Market, now: Now) -> Rule:
    """Change a market's auction, floor, cap or target from its next epoch on."""
    change = body.change()
    return Rule.of(market_rules.set_rule(market.uow(), now, caller, body.resource_class, body.region, change))


@router.delete("/rules/{resource_class}/{region}")
def reset_rule(resource_class: str, region: str, caller: Admin, market: Market, now: Now) -> Rule:
    """Give a market the default rules again, from its next epoch on."""
    return Rule.of(market_rules.reset_rule(market.uow(), now, caller, resource_class, region))
