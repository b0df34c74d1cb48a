"""The audit log: every action on money or access is recorded in the transaction that does it."""

from datetime import datetime

from backend.domain.access import Principal
from backend.domain.errors import Invalid
from backend.domain.ids import AccountId, LogId
from backend.storage.ids import new_id
from backend.storage.log import Entry, Told
from backend.storage.unit_of_work import UnitOfWork

LIST_MAX = 500


def record(
    uow: UnitOfWork, now: datetime, principal: Principal | None, action: str, subject: str, **details: object
) -> None:
    """Record that a caller (None: the operator at the machine) did something, inside an open unit of work."""
    actor = principal.actor if principal and principal.key_id else None
    key_id = principal.key_id if principal else None
    uow.log.add([Entry(LogId(new_id()), now, actor, key_id, action, subject, details)])


def list_entries(
    uow: UnitOfWork,
    actor: AccountId | None = None,
    subject: str | None = None,
    action: str | None = None,
    limit: int = 100,
    before: LogId | None = None,
) -> list[Told]:
    """The newest entries, narrowed to an actor, a subject or an action; `before` continues below an id.

    A subject like `payout` stands for all payouts, an action like `payout.` for all that was done to them.
    """
    if not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {LIST_MAX}")
    with uow:
        return uow.log.newest(actor, subject, action, limit, before)
