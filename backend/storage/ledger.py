"""Ledger accounts, holds and transfers: lock, let the domain decide, write once."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, text

from backend.domain.ids import AccountId, HoldId, LedgerAccountId, OrderId, TransferId
from backend.domain.ledger import (
    BALANCE_NANO_MAX,
    AccountKind,
    Applied,
    Balance,
    Hold,
    Posted,
    Transfer,
)
from backend.domain.money import AMOUNT_NANO_MAX
from backend.domain.tiers import TierName
from backend.storage.budgets import give_back
from backend.storage.ledger_rows import (
    HOLD,
    TRANSFER,
    hold_values,
    read_balance,
    read_hold,
    read_transfer,
    transfer_values,
)
from backend.storage.rows import driver_of, insert_rows, update_rows, values_of
from backend.storage.tables import HoldRow, LedgerAccountRow, TransferRow


@dataclass(frozen=True, slots=True)
class LockedAccounts:
    """Balances whose rows are locked until the transaction ends, by id and by what they are for."""

    balances: dict[LedgerAccountId, Balance]
    wallets: dict[AccountId, LedgerAccountId]
    earnings: dict[AccountId, LedgerAccountId]
    withheld: dict[AccountId, LedgerAccountId]


@dataclass(frozen=True, slots=True)
class HoldLabel:
    """Whom of an organisation a hold is for, and in which tier: what budgets count it by."""

    spender_id: AccountId | None
    tier: TierName | None


_LOCK = text("""
    SELECT id, owner_id, kind, posted_nano, reserved_nano FROM ledger_accounts
    WHERE (owner_id = ANY(:wallets_of) AND kind = 'wallet')
       OR (owner_id = ANY(:earnings_of) AND kind = 'earnings')
       OR (owner_id = ANY(:withheld_of) AND kind = 'withheld')
       OR id = ANY(:others)
    ORDER BY id FOR UPDATE
""")
# One plain transfer in one statement: locked in id order, checked, written. The domain explains what it refuses.
# The new balances come from the locked rows: the updated ones are what the statement's snapshot saw, and PostgreSQL
# checks constraints on a row made of them before it notices that there is a newer one.
_POST = """
    WITH locked AS (
        SELECT id, kind, posted_nano, reserved_nano FROM ledger_accounts
        WHERE id IN (%(debit)s, %(credit)s) ORDER BY id FOR UPDATE
    ), allowed AS (
        SELECT d.posted_nano - %(amount)s AS debit_posted, d.reserved_nano AS debit_reserved,
               c.posted_nano + %(amount)s AS credit_posted, c.reserved_nano AS credit_reserved
        FROM locked d, locked c WHERE d.id = %(debit)s AND c.id = %(credit)s AND d.id <> c.id
        AND (d.kind = 'world' OR d.posted_nano - d.reserved_nano >= %(amount)s) AND %(amount)s BETWEEN 1 AND %(most)s
        AND c.posted_nano <= %(balance)s - %(amount)s AND d.posted_nano >= %(amount)s - %(balance)s
    ), moved AS (
        INSERT INTO transfers (id, kind, debit_id, credit_id, amount_nano, order_id, reference, created_at)
        SELECT %(id)s, %(kind)s, %(debit)s, %(credit)s, %(amount)s, %(order)s, %(reference)s, %(now)s FROM allowed
    )
    UPDATE ledger_accounts
    SET posted_nano = CASE id WHEN %(debit)s THEN debit_posted ELSE credit_posted END,
        reserved_nano = CASE id WHEN %(debit)s THEN debit_reserved ELSE credit_reserved END
    FROM allowed WHERE id IN (%(debit)s, %(credit)s)
"""
_NO_LABEL = HoldLabel(None, None)


class LedgerRepository:
    """The books."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open(self, account: LedgerAccountId, owner: AccountId, kind: AccountKind) -> None:
        """Open a ledger account of an owner."""
        self._connection.execute(insert(LedgerAccountRow).values(id=account, owner_id=owner, kind=kind))

    def lock(
        self,
        *,
        wallets_of: Collection[AccountId] = (),
        earnings_of: Collection[AccountId] = (),
        withheld_of: Collection[AccountId] = (),
        others: Collection[LedgerAccountId] = (),
    ) -> LockedAccounts:
        """The balances named, row-locked in id order until the transaction ends."""
        rows = self._connection.execute(
            _LOCK,
            {
                "wallets_of": list(wallets_of),
                "earnings_of": list(earnings_of),
                "withheld_of": list(withheld_of),
                "others": list(others),
            },
        ).all()
        by_kind: dict[str, dict[AccountId, LedgerAccountId]] = {kind: {} for kind in AccountKind}
        for row in rows:
            by_kind[row.kind][row.owner_id] = row.id
        return LockedAccounts(
            balances={row.id: read_balance(row) for row in rows},
            wallets=by_kind[AccountKind.WALLET],
            earnings=by_kind[AccountKind.EARNINGS],
            withheld=by_kind[AccountKind.WITHHELD],
        )

    def lock_wallets(self) -> None:
        """Let nobody set anything aside until the transaction ends."""
        self._connection.execute(text("SELECT 1 FROM ledger_accounts WHERE kind = 'wallet' ORDER BY id FOR UPDATE"))

    def lock_holds(self, holds: Collection[HoldId]) -> dict[HoldId, Hold]:
        """The holds named, row-locked in id order until the transaction ends."""
        if not holds:
            return {}
        rows = self._connection.execute(
            text(f"SELECT {HOLD} FROM holds h WHERE h.id = ANY(:holds) ORDER BY h.id FOR UPDATE"),
            {"holds": list(holds)},
        ).all()
        return {row.id: read_hold(row) for row in rows}

    def lock_expired(self, now: datetime, limit: int) -> dict[HoldId, Hold]:
        """Pending holds whose time is over and that nothing under way will resolve, locked in id order."""
        rows = self._connection.execute(
            text(f"""
                SELECT {HOLD} FROM holds h WHERE h.state = 'pending' AND h.expires_at <= :now
                AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.hold_id = h.id AND o.state = 'open')
                AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.hold_id = h.id AND o.state IN ('running', 'closing'))
                AND NOT EXISTS (SELECT 1 FROM windows w WHERE w.hold_id = h.id AND w.state = 'open')
                AND NOT EXISTS (SELECT 1 FROM payouts p WHERE p.hold_id = h.id AND p.state IN ('requested', 'approved'))
                ORDER BY h.id LIMIT :limit FOR UPDATE OF h SKIP LOCKED
            """),
            {"now": now, "limit": limit},
        )
        return {row.id: read_hold(row) for row in rows}

    def lock_posted(self, transfers: Collection[TransferId]) -> dict[TransferId, Posted]:
        """The transfers named and whether each was reversed, row-locked in id order until the transaction ends."""
        if not transfers:
            return {}
        self._connection.execute(
            text("SELECT 1 FROM transfers WHERE id = ANY(:ids) ORDER BY id FOR UPDATE"), {"ids": list(transfers)}
        )
        rows = self._connection.execute(
            text(
                f"SELECT {TRANSFER}, EXISTS (SELECT 1 FROM transfers r WHERE r.original_id = t.id"
                f" AND r.kind = 'reversal') AS reversed FROM transfers t WHERE t.id = ANY(:ids)"
            ),
            {"ids": list(transfers)},
        )
        return {row.id: Posted(read_transfer(row), row.reversed) for row in rows}

    def write(self, applied: Applied, now: datetime, labels: Mapping[HoldId, HoldLabel] | None = None) -> None:
        """Record what the domain decided: at most five statements for any number of operations.

        `labels` says what budgets count new holds by.
        """
        labels = labels or {}
        insert_rows(
            self._connection,
            HoldRow,
            [
                hold_values(hold)
                | {"account_id": hold.account, "expires_at": hold.expires_at, "created_at": now}
                | values_of(labels.get(hold.id, _NO_LABEL))
                for hold in applied.new_holds
            ],
        )
        if applied.changed_holds:
            give_back(self._connection, [(h.id, h.amount_nano - h.released_nano) for h in applied.changed_holds])
        update_rows(self._connection, HoldRow, [hold_values(hold) for hold in applied.changed_holds])
        insert_rows(
            self._connection,
            TransferRow,
            [transfer_values(t) | {"created_at": now} for t in applied.transfers],
        )
        update_rows(
            self._connection,
            LedgerAccountRow,
            [
                {"id": b.account, "posted_nano": b.posted_nano, "reserved_nano": b.reserved_nano}
                for b in sorted(applied.balances, key=lambda b: b.account)
            ],
        )

    def post(self, transfer: Transfer, now: datetime) -> bool:
        """Move money out of what is available; False, and nothing, if the domain would refuse it.

        For `UnitOfWork.single`, since it goes past SQLAlchemy.
        """
        moved = driver_of(self._connection).execute(
            _POST,
            {
                "id": transfer.id,
                "kind": str(transfer.kind),
                "debit": transfer.debit,
                "credit": transfer.credit,
                "amount": transfer.amount_nano,
                "most": AMOUNT_NANO_MAX,
                "balance": BALANCE_NANO_MAX,
                "order": transfer.order_id,
                "reference": transfer.reference,
                "now": now,
            },
        )
        return moved.rowcount == 2  # both accounts

    def balances_of(self, owner: AccountId) -> dict[AccountKind, Balance]:
        """Balances of an owner as they are now, not locked."""
        return self.balances_of_each([owner]).get(owner, {})

    def balances_of_each(self, owners: Collection[AccountId]) -> dict[AccountId, dict[AccountKind, Balance]]:
        """As `balances_of`, of several owners at once; those without any are left out."""
        rows = self._connection.execute(
            select(
                LedgerAccountRow.id,
                LedgerAccountRow.owner_id,
                LedgerAccountRow.kind,
                LedgerAccountRow.posted_nano,
                LedgerAccountRow.reserved_nano,
            ).where(LedgerAccountRow.owner_id.in_(owners))
        )
        found: dict[AccountId, dict[AccountKind, Balance]] = defaultdict(dict)
        for row in rows:
            found[row.owner_id][AccountKind(row.kind)] = read_balance(row)
        return found

    def transfer_with_reference(self, reference: str) -> Transfer | None:
        """The transfer that an external reference stands for."""
        row = self._connection.execute(
            text(f"SELECT {TRANSFER} FROM transfers t WHERE t.reference = :reference"), {"reference": reference}
        ).one_or_none()
        return read_transfer(row) if row else None

    def transfers_of_order(self, order_id: OrderId) -> list[Transfer]:
        """What an order has moved so far, oldest first."""
        rows = self._connection.execute(
            text(f"SELECT {TRANSFER} FROM transfers t WHERE t.order_id = :order ORDER BY t.id"), {"order": order_id}
        )
        return [read_transfer(row) for row in rows]
