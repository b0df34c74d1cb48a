"""Receipts on the wire: computed from the ledger's transfers."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Amount, Answer
from backend.api.wire.orders import Order
from backend.domain.money import format_credits
from backend.services import receipts as service
from backend.storage.leases import Served


class Part(Answer):
    """A lease that served some of the order."""

    lease: UUID
    node: str
    node_id: UUID
    resource_class: str
    region: str
    slots: int
    price: Amount
    state: str
    items: int
    billed_seconds: float
    charged: Amount
    leave_at: datetime | None = Field(description="When it gives its slots to an order that goes before it, if told.")

    @classmethod
    def of(cls, served: Served) -> Self:
        """The wire form of a lease's part."""
        return cls(
            lease=served.lease_id,
            node=served.node_name,
            node_id=served.node_id,
            resource_class=served.resource_class,
            region=served.region,
            slots=served.slots,
            price=format_credits(served.price_nano_per_slot_s),
            state=served.state,
            items=served.items,
            billed_seconds=served.billed_us / 1_000_000,
            charged=format_credits(served.charged_nano),
            leave_at=served.leave_at,
        )


class Movement(Answer):
    """A transfer that the order caused."""

    id: UUID
    kind: str
    amount: Amount


class Receipt(Answer):
    """What was held, charged and released: held = charged + given_back + released once the order is closed."""

    order: Order
    model: str
    model_version: int
    held: Amount
    charged: Amount
    fee: Amount
    released: Amount
    given_back: Amount = Field(description="What corrections took back of the charges.")
    served: list[Part]
    transfers: list[Movement]

    @classmethod
    def of(cls, receipt: service.Receipt) -> Self:
        """The wire form of a receipt."""
        return cls(
            order=Order.of(receipt.order),
            model=receipt.model,
            model_version=receipt.model_version,
            held=format_credits(receipt.held_nano),
            charged=format_credits(receipt.charged_nano),
            fee=format_credits(receipt.fee_nano),
            released=format_credits(receipt.released_nano),
            given_back=format_credits(receipt.given_back_nano),
            served=[Part.of(served) for served in receipt.served],
            transfers=[Movement(id=t.id, kind=t.kind, amount=format_credits(t.amount_nano)) for t in receipt.transfers],
        )
