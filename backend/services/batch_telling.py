"""What webhooks of batches and orders are owed at their end, and the sending of it: at least once, signed, and
outside of transactions.

Bodies are those of OpenAI's webhooks, signed as the Standard Webhooks specification says: their client checks them.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import orjson

from backend.domain.batches import PREFIX
from backend.domain.ids import AccountId, DeliveryId
from backend.messaging.account_webhooks import TIMEOUT_S, Call
from backend.messaging.webhook import Outcome
from backend.services.deliveries import send_due
from backend.storage.account_deliveries import AccountDelivery
from backend.storage.batches import Batch
from backend.storage.ids import new_id
from backend.storage.order_webhooks import OrderEnd
from backend.storage.unit_of_work import UnitOfWork

SEND_MAX = 20  # at once
OWE_MAX = 500  # orders in one transaction
CLAIM = timedelta(seconds=6 * TIMEOUT_S)  # nobody else sends it meanwhile
SECRET_PREFIX = "whsec_"  # noqa: S105  a prefix

Send = Callable[[Sequence[Call]], list[Outcome]]


def owe(uow: UnitOfWork, now: datetime, batch: Batch) -> None:
    """Owe a batch's webhook the news of its end, if it has one, inside an open unit of work."""
    if batch.webhook is None:
        return
    name = f"{PREFIX}{batch.id.hex}"
    uow.account_deliveries.add(
        [_delivery(now, batch.account_id, f"batch {batch.id}", batch.webhook, f"batch.{batch.state}", {"id": name})]
    )


def owe_ended_orders(uow: UnitOfWork, now: datetime) -> bool:
    """Owe the news of orders that have ended, OWE_MAX at once; returns whether there may be more."""
    with uow:
        ended = uow.order_webhooks.take_ended(OWE_MAX)
        uow.account_deliveries.add(
            [
                _delivery(now, end.account_id, f"order {end.order_id}", end.url, f"order.{end.state}", _told(end))
                for end in ended
            ]
        )
        uow.commit()
    return len(ended) == OWE_MAX


def _told(end: OrderEnd) -> Mapping[str, object]:
    return {"id": str(end.order_id), "state": end.state, "closed_at": end.closed_at.isoformat()}


def _delivery(
    now: datetime, account: AccountId, subject: str, url: str, event: str, data: Mapping[str, object]
) -> AccountDelivery:
    delivery = DeliveryId(new_id())
    body = {
        "id": f"evt_{delivery.hex}",
        "object": "event",
        "type": event,
        "created_at": int(now.timestamp()),
        "data": dict(data),
    }
    return AccountDelivery(id=delivery, account_id=account, subject=subject, url=url, body=body, due_at=now)


def webhook_secret(kept: str, account: AccountId) -> str:
    """The secret that an account's webhooks are signed with, made from the deployment's own: nothing is stored."""
    digest = hmac.new(kept.encode(), f"webhooks of {account}".encode(), hashlib.sha256).digest()
    return SECRET_PREFIX + base64.b64encode(digest).decode()


def deliver(uow: UnitOfWork, now: datetime, kept_secret: str, send: Send, jitter: float) -> int:
    """Send what is due, SEND_MAX at once; returns how many attempts were begun (see `deliveries.send_due`)."""
    sent_s = int(now.timestamp())

    def post(claimed: Sequence[AccountDelivery]) -> list[Outcome]:
        return send([_call(one, kept_secret, sent_s) for one in claimed])

    return send_due(uow, now, lambda open_uow: open_uow.account_deliveries, CLAIM, SEND_MAX, post, jitter)


def _call(one: AccountDelivery, kept_secret: str, sent_s: int) -> Call:
    secret = webhook_secret(kept_secret, one.account_id)
    return Call(f"msg_{one.id.hex}", one.url, secret, orjson.dumps(one.body), sent_s)
