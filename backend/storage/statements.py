"""Looking into the books: transfers with the accounts that they touch, by account, in id order. Nothing is written."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from backend.domain.ids import AccountId, HoldId, LedgerAccountId, OrderId, TransferId
from backend.domain.ledger import AccountKind, Hold, Transfer
from backend.storage.ledger_rows import HOLD, TRANSFER, read_hold, read_transfer

_ENTRY = f"""
    SELECT {TRANSFER}, t.created_at, d.kind AS debit_kind, d.owner_id AS debit_owner,
           c.kind AS credit_kind, c.owner_id AS credit_owner,
           (SELECT r.id FROM transfers r WHERE r.original_id = t.id AND r.kind = 'reversal') AS reversed_by,
           (SELECT r.id FROM transfers r WHERE r.original_id = t.id AND r.kind <> 'reversal') AS replaced_by
    FROM found t JOIN ledger_accounts d ON d.id = t.debit_id JOIN ledger_accounts c ON c.id = t.credit_id
"""
# Each side of each account by its own index, as far as asked; then the newest of them.
_NEWEST = text(f"""
    WITH found AS (
        SELECT t.* FROM unnest(CAST(:accounts AS uuid[])) AS a (id), LATERAL (
            (SELECT * FROM transfers WHERE debit_id = a.id AND id < :before ORDER BY id DESC LIMIT :limit)
            UNION ALL
            (SELECT * FROM transfers WHERE credit_id = a.id AND id < :before ORDER BY id DESC LIMIT :limit)
        ) t
    ), chosen AS (SELECT DISTINCT ON (id) * FROM found ORDER BY id DESC LIMIT :limit)
    {_ENTRY.replace("found t", "chosen t")} ORDER BY t.id DESC
""")
_PAGE = text(f"""
    WITH found AS (
        (SELECT * FROM transfers WHERE debit_id = :account AND id > :after
         AND created_at >= :since AND created_at < :until ORDER BY id LIMIT :limit)
        UNION ALL
        (SELECT * FROM transfers WHERE credit_id = :account AND id > :after
         AND created_at >= :since AND created_at < :until ORDER BY id LIMIT :limit)
        ORDER BY id LIMIT :limit
    )
    {_ENTRY} ORDER BY t.id
""")
_MOVED = text("""
    SELECT coalesce(sum(amount), 0)::bigint FROM (
        SELECT amount_nano AS amount FROM transfers WHERE credit_id = :account
            AND (created_at < :since OR created_at < :until AND id <= :after)
        UNION ALL
        SELECT -amount_nano FROM transfers WHERE debit_id = :account
            AND (created_at < :since OR created_at < :until AND id <= :after)
    ) moved
""")
# All that came out of the hold that a transfer, or what it replaces, was captured from. Each half of the inner
# union has its own partial index.
_KIN = text(f"""
    WITH RECURSIVE up AS (
        SELECT id, hold_id, original_id FROM transfers WHERE id = :id
        UNION SELECT t.id, t.hold_id, t.original_id FROM transfers t JOIN up ON t.id = up.original_id
    ), down AS (
        SELECT t.id FROM transfers t JOIN up ON t.hold_id = up.hold_id
        UNION SELECT up.id FROM up
        UNION SELECT next.id FROM down, LATERAL (
            SELECT id FROM transfers WHERE original_id = down.id AND kind = 'reversal'
            UNION ALL SELECT id FROM transfers WHERE original_id = down.id AND kind <> 'reversal'
        ) next
    )
    SELECT {TRANSFER} FROM transfers t JOIN down ON down.id = t.id ORDER BY t.id
""")
_FIRST, _LAST = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class Side:
    """A ledger account as a transfer names it; the market's own have no owner."""

    kind: AccountKind
    owner_id: AccountId | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A transfer as the books have it: when, between whom, and what corrected it."""

    transfer: Transfer
    created_at: datetime
    debit: Side
    credit: Side
    reversed_by: TransferId | None
    replaced_by: TransferId | None


@dataclass(frozen=True, slots=True)
class HeldFor:
    """A hold, whose it is and since when."""

    hold: Hold
    owner_id: AccountId
    created_at: datetime


class StatementRepository:
    """The books, read only."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def entry(self, transfer: TransferId) -> Entry | None:
        """The transfer of that id."""
        found = self._entries("WITH found AS (SELECT * FROM transfers WHERE id = :id)", {"id": transfer})
        return found[0] if found else None

    def newest(self, limit: int, before: TransferId | None) -> list[Entry]:
        """The newest transfers of everybody, older than `before`."""
        found = "WITH found AS (SELECT * FROM transfers WHERE id < :before ORDER BY id DESC LIMIT :limit)"
        return self._entries(found, {"limit": limit, "before": before or _LAST}, "DESC")

    def newest_of(self, accounts: Collection[LedgerAccountId], limit: int, before: TransferId | None) -> list[Entry]:
        """The newest transfers that touch any of the ledger accounts, older than `before`."""
        rows = self._connection.execute(
            _NEWEST, {"accounts": list(accounts), "limit": limit, "before": before or _LAST}
        )
        return [_entry(row) for row in rows]

    def of_order(self, order: OrderId) -> list[Entry]:
        """The transfers of an order, oldest first."""
        return self._entries("WITH found AS (SELECT * FROM transfers WHERE order_id = :order)", {"order": order})

    def of_hold(self, hold: HoldId) -> list[Entry]:
        """What was captured from a hold, oldest first."""
        return self._entries("WITH found AS (SELECT * FROM transfers WHERE hold_id = :hold)", {"hold": hold})

    def page(
        self, account: LedgerAccountId, since: datetime, until: datetime, after: TransferId | None, limit: int
    ) -> list[Entry]:
        """Transfers that touch an account in [since, until), in id order, those above `after`."""
        rows = self._connection.execute(
            _PAGE,
            {"account": account, "since": since, "until": until, "after": after or _FIRST, "limit": limit},
        )
        return [_entry(row) for row in rows]

    def balance_before(
        self, account: LedgerAccountId, since: datetime, until: datetime, after: TransferId | None
    ) -> int:
        """An account's balance by what moved before `since`, and in [since, until) up to `after`."""
        binds = {"account": account, "since": since, "until": until, "after": after or _FIRST}
        return int(self._connection.execute(_MOVED, binds).scalar_one())

    def kin(self, transfer: TransferId) -> list[Transfer]:
        """What was captured from the same hold as a transfer, with all that corrected it since; oldest first."""
        return [read_transfer(row) for row in self._connection.execute(_KIN, {"id": transfer})]

    def owners(self, accounts: Collection[LedgerAccountId]) -> dict[LedgerAccountId, AccountId]:
        """Whose the ledger accounts are; the market's own are left out."""
        rows = self._connection.execute(
            text("SELECT id, owner_id FROM ledger_accounts WHERE id = ANY(:ids) AND owner_id IS NOT NULL"),
            {"ids": list(accounts)},
        )
        return {row.id: row.owner_id for row in rows}

    def hold(self, hold: HoldId) -> HeldFor | None:
        """The hold of that id."""
        found = self._holds("h.id = :hold", {"hold": hold, "limit": 1})
        return found[0] if found else None

    def pending_of(self, account: AccountId, limit: int) -> list[HeldFor]:
        """An account's holds that are not resolved, the newest first."""
        return self._holds("a.owner_id = :account AND h.state = 'pending'", {"account": account, "limit": limit})

    def _entries(self, found: str, binds: dict[str, Any], order: str = "ASC") -> list[Entry]:
        rows = self._connection.execute(text(f"{found} {_ENTRY} ORDER BY t.id {order}"), binds)
        return [_entry(row) for row in rows]

    def _holds(self, condition: str, binds: dict[str, Any]) -> list[HeldFor]:
        rows = self._connection.execute(
            text(
                f"SELECT {HOLD}, a.owner_id, h.created_at FROM holds h JOIN ledger_accounts a ON a.id = h.account_id"
                f" WHERE {condition} ORDER BY h.id DESC LIMIT :limit"
            ),
            binds,
        )
        return [HeldFor(read_hold(row), row.owner_id, row.created_at) for row in rows]


def _entry(row: Any) -> Entry:
    return Entry(
        read_transfer(row),
        row.created_at,
        Side(AccountKind(row.debit_kind), row.debit_owner),
        Side(AccountKind(row.credit_kind), row.credit_owner),
        row.reversed_by,
        row.replaced_by,
    )
