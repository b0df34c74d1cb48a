"""The relay: messages that committed transactions owe go to the broker, at least once."""

from collections.abc import Callable, Sequence
from datetime import datetime

from backend.domain.work import Dispatch
from backend.storage.unit_of_work import UnitOfWork

RELAY_MAX = 500


def relay(uow: UnitOfWork, now: datetime, send: Callable[[Sequence[Dispatch]], None]) -> int:
    """Send what is owed and mark it; if `send` raises, all of it stays owed. Returns how many were sent."""
    with uow:
        owed = uow.outbox.claim_unsent(RELAY_MAX)
        if owed:
            send([message.dispatch for message in owed])
            uow.outbox.mark_sent([message.id for message in owed], now)
            uow.commit()
    return len(owed)
