"""Offers: what a provider asks for a node's slots."""

from fastapi import APIRouter

from backend.api.dependencies import Market, Now
from backend.api.security import Provider
from backend.api.wire.nodes import NewOffer, Offer
from backend.domain.ids import NodeId
from backend.services import nodes

router = APIRouter(prefix="/api/v1/offers", tags=["offers"])


@router.post("", status_code=201)
def offer(body: NewOffer, caller: Provider, market: Market, now: Now) -> Offer:
    """Offer a node's slots from a price up; it replaces the node's open offer."""
    return Offer.of(nodes.offer(market.uow(), now, NodeId(body.node), body.ask, caller))
