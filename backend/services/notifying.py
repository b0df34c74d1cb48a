"""The webhook that the operator is told of incidents by."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import orjson

from backend.domain.access import Principal, Role
from backend.domain.ids import IncidentId
from backend.domain.incidents import Incident, IncidentEvent, IncidentKind, Severity
from backend.messaging.webhook import TIMEOUT_S, Message, Outcome
from backend.services.deliveries import send_due
from backend.services.log import record
from backend.services.webhook_bodies import body_of
from backend.storage.deliveries import Delivery
from backend.storage.ids import new_id
from backend.storage.unit_of_work import UnitOfWork

SEND_MAX = 10  # at once
CLAIM = timedelta(seconds=12 * TIMEOUT_S)  # nobody else sends it meanwhile

Send = Callable[[Sequence[Message]], list[Outcome]]


def deliver(uow: UnitOfWork, now: datetime, send: Send, jitter: float) -> int:
    """Send what is due, SEND_MAX at once; returns how many attempts were begun (see `deliveries.send_due`)."""
    sent_s = int(now.timestamp())

    def post(claimed: Sequence[Delivery]) -> list[Outcome]:
        return send([Message(str(one.id), orjson.dumps(one.body), sent_s) for one in claimed])

    return send_due(uow, now, lambda open_uow: open_uow.deliveries, CLAIM, SEND_MAX, post, jitter)


def send_test(uow: UnitOfWork, now: datetime, principal: Principal, send: Send) -> Outcome:
    """Send one made-up incident at once, marked as a test; nothing of it is kept but the log. Raises Forbidden."""
    principal.require(Role.ADMIN)
    made_up = Incident(
        IncidentId(new_id()),
        IncidentKind.AGENT_LOST,
        "test",
        Severity.WARNING,
        "a test of the webhook: nothing is wrong",
        {},
        now,
        now,
    )
    delivery = new_id()
    body = orjson.dumps(body_of(made_up, IncidentEvent.TEST))
    [outcome] = send([Message(str(delivery), body, int(now.timestamp()))])
    with uow:
        record(uow, now, principal, "webhook.test", f"delivery {delivery}", status=outcome.status, error=outcome.error)
        uow.commit()
    return outcome
