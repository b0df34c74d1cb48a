"""Receipts and results: what an order got for its money."""

from dataclasses import dataclass

from backend.domain.access import Principal
from backend.domain.corrections import paid
from backend.domain.disputes import DISPUTE_DAYS
from backend.domain.errors import NotFound
from backend.domain.ids import OrderId
from backend.domain.ledger import Transfer
from backend.services.orders import owned_order
from backend.storage.forgetting import FORGOTTEN
from backend.storage.leases import Served
from backend.storage.order_rows import Order
from backend.storage.unit_of_work import UnitOfWork
from backend.storage.work_rows import Item


@dataclass(frozen=True, slots=True)
class Receipt:
    """An order's money in nano-credits: held = charged + given back + released (while it runs: + what is still held).

    `given_back` is what corrections took back of charges, which the ledger shows as reversals.
    """

    order: Order
    model: str
    model_version: int
    served: list[Served]
    transfers: list[Transfer]
    held_nano: int
    charged_nano: int
    fee_nano: int
    released_nano: int
    given_back_nano: int


def receipt(uow: UnitOfWork, order_id: OrderId, principal: Principal) -> Receipt:
    """What was held, charged and released, and who ran what; computed from the transfers. Raises NotFound."""
    with uow:
        order = owned_order(uow, order_id, principal)
        model = uow.models.by_id(order.model_id).ref
        transfers = uow.ledger.transfers_of_order(order_id)
        served = uow.leases.served([order_id]).get(order_id, []) + uow.allowances.served(order_id)
    standing = paid(transfers)
    captured = sum(transfer.amount_nano for transfer in transfers if transfer.hold_id)
    charged = sum(payment.amount_nano for payment in standing)
    return Receipt(
        order,
        model.name,
        model.version,
        served,
        transfers,
        held_nano=order.worst_case_nano,
        charged_nano=charged,
        fee_nano=sum(payment.fee.amount_nano for payment in standing if payment.fee),
        released_nano=order.worst_case_nano - captured if order.closed_at else 0,
        given_back_nano=captured - charged,
    )


def results(uow: UnitOfWork, order_id: OrderId, principal: Principal) -> list[Item]:
    """The items of an order with their outputs (protocol bodies) so far; raises NotFound, also for those forgotten."""
    with uow:
        owned_order(uow, order_id, principal)
        items = uow.work.of_order(order_id)
    if any(item.outputs == FORGOTTEN for item in items):
        kept = f"results of orders that ended within {DISPUTE_DAYS} days; those of a batch are in its output file"
        raise NotFound("order result", order_id, field="order", accepted=kept)
    return items
