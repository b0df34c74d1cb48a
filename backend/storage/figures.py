"""Figures of the whole market for its metrics: aggregates only, nothing of any one account."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Money:
    """What all ledger accounts of a kind have together, in nano-credits."""

    kind: str
    accounts: int
    posted_nano: int
    reserved_nano: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for something: holds to be resolved, usage for money, disputes and payouts for an admin."""

    holds: int
    holds_nano: int
    holds_oldest_expiry: datetime | None
    usage_unpaid: int
    usage_unpaid_nano: int
    disputes_open: int
    payouts_requested: int
    payouts_approved: int
    payouts_nano: int


_MONEY = text("""
    SELECT kind, count(*) AS accounts, sum(posted_nano) AS posted, sum(reserved_nano) AS reserved
    FROM ledger_accounts GROUP BY kind ORDER BY kind
""")
# Each by an index of its own on what waits only, but for payouts, which are few.
_WAITING = text("""
    SELECT h.*, u.*, d.*, p.* FROM (
        SELECT count(*) AS holds, coalesce(sum(amount_nano - captured_nano - released_nano), 0) AS holds_nano,
               min(expires_at) AS holds_oldest_expiry
        FROM holds WHERE state = 'pending'
    ) h, (
        SELECT count(*) AS usage_unpaid, coalesce(sum(amount_nano), 0) AS usage_unpaid_nano
        FROM usage_events WHERE state = 'unpaid'
    ) u, (
        SELECT count(*) AS disputes_open FROM disputes WHERE state = 'open'
    ) d, (
        SELECT count(*) FILTER (WHERE state = 'requested') AS payouts_requested,
               count(*) FILTER (WHERE state = 'approved') AS payouts_approved,
               coalesce(sum(amount_nano), 0) AS payouts_nano
        FROM payouts WHERE state IN ('requested', 'approved')
    ) p
""")


class FigureRepository:
    """Two statements for all of it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def money(self) -> list[Money]:
        """By kind of account."""
        rows: Any = self._connection.execute(_MONEY)
        return [Money(row.kind, row.accounts, int(row.posted), int(row.reserved)) for row in rows]

    def waiting(self) -> Waiting:
        """As it is now."""
        row: Any = self._connection.execute(_WAITING).one()
        return Waiting(
            row.holds,
            int(row.holds_nano),
            row.holds_oldest_expiry,
            row.usage_unpaid,
            int(row.usage_unpaid_nano),
            row.disputes_open,
            row.payouts_requested,
            row.payouts_approved,
            int(row.payouts_nano),
        )
