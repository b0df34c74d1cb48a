"""Ledger accounts, holds and transfers: lock, let the domain decide, write once."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, text

from backend.domain.ids import AccountId, HoldId, LedgerAccountId, OrderId, TransferId
from backend.domain.ledger import AccountKind, Applied, Balance, Hold, HoldState, Transfer, TransferKind
from backend.storage.rows import insert_rows, update_rows
from backend.storage.tables import HoldRow, LedgerAccountRow, TransferRow


@dataclass(frozen=True, slots=True)
class LockedAccounts:
    """Balances whose rows are locked until the transaction ends, by id and by what they are for."""

    balances: dict[LedgerAccountId, Balance]
    wallets: dict[AccountId, LedgerAccountId]
    earnings: dict[AccountId, LedgerAccountId]


_LOCK = text("""
    SELECT id, owner_id, kind, posted_nano, reserved_nano FROM ledger_accounts
    WHERE (owner_id = ANY(:wallets_of) AND kind = 'wallet')
       OR (owner_id = ANY(:earnings_of) AND kind = 'earnings')
       OR id = ANY(:others)
    ORDER BY id FOR UPDATE
""")


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
        others: Collection[LedgerAccountId] = (),
    ) -> LockedAccounts:
        """The balances named, row-locked in id order until the transaction ends."""
        rows = self._connection.execute(
            _LOCK,
            {"wallets_of": list(wallets_of), "earnings_of": list(earnings_of), "others": list(others)},
        ).all()
        by_kind: dict[str, dict[AccountId, LedgerAccountId]] = {kind: {} for kind in AccountKind}
        for row in rows:
            by_kind[row.kind][row.owner_id] = row.id
        return LockedAccounts(
            balances={row.id: _balance(row) for row in rows},
            wallets=by_kind[AccountKind.WALLET],
            earnings=by_kind[AccountKind.EARNINGS],
        )

    def lock_holds(self, holds: Collection[HoldId]) -> dict[HoldId, Hold]:
        """The holds named, row-locked in id order until the transaction ends."""
        rows = self._connection.execute(
            text(
                "SELECT id, account_id, amount_nano, captured_nano, released_nano, state, expires_at"
                " FROM holds WHERE id = ANY(:holds) ORDER BY id FOR UPDATE"
            ),
            {"holds": list(holds)},
        ).all()
        return {
            row.id: Hold(
                row.id,
                row.account_id,
                row.amount_nano,
                row.captured_nano,
                row.released_nano,
                HoldState(row.state),
                row.expires_at,
            )
            for row in rows
        }

    def write(self, applied: Applied, now: datetime) -> None:
        """Record what the domain decided: at most four statements for any number of operations."""
        insert_rows(
            self._connection,
            HoldRow,
            [_hold_values(hold) | {"created_at": now} for hold in applied.new_holds],
        )
        update_rows(self._connection, HoldRow, [_hold_values(hold) for hold in applied.changed_holds])
        insert_rows(
            self._connection,
            TransferRow,
            [_transfer_values(t) | {"created_at": now} for t in applied.transfers],
        )
        update_rows(
            self._connection,
            LedgerAccountRow,
            [
                {"id": b.account, "posted_nano": b.posted_nano, "reserved_nano": b.reserved_nano}
                for b in sorted(applied.balances, key=lambda b: b.account)
            ],
        )

    def balances_of(self, owner: AccountId) -> dict[AccountKind, Balance]:
        """Balances of an owner as they are now, not locked."""
        rows = self._connection.execute(
            select(
                LedgerAccountRow.id,
                LedgerAccountRow.kind,
                LedgerAccountRow.posted_nano,
                LedgerAccountRow.reserved_nano,
            ).where(LedgerAccountRow.owner_id == owner)
        )
        return {AccountKind(row.kind): _balance(row) for row in rows}

    def transfer_with_reference(self, reference: str) -> Transfer | None:
        """The transfer that an external reference stands for."""
        row = self._connection.execute(
            select(TransferRow.__table__).where(TransferRow.reference == reference)
        ).one_or_none()
        return _transfer(row) if row else None

    def transfers_of_order(self, order_id: OrderId) -> list[Transfer]:
        """What an order has moved so far, oldest first."""
        rows = self._connection.execute(
            select(TransferRow.__table__).where(TransferRow.order_id == order_id).order_by(TransferRow.id)
        )
        return [_transfer(row) for row in rows]


def _balance(row: Any) -> Balance:
    return Balance(row.id, AccountKind(row.kind), row.posted_nano, row.reserved_nano)


def _transfer(row: Row[Any]) -> Transfer:
    return Transfer(
        TransferId(row.id),
        TransferKind(row.kind),
        row.debit_id,
        row.credit_id,
        row.amount_nano,
        row.hold_id,
        row.order_id,
        row.reference,
    )


def _hold_values(hold: Hold) -> dict[str, object]:
    return {
        "id": hold.id,
        "account_id": hold.account,
        "amount_nano": hold.amount_nano,
        "captured_nano": hold.captured_nano,
        "released_nano": hold.released_nano,
        "state": str(hold.state),
        "expires_at": hold.expires_at,
    }


def _transfer_values(transfer: Transfer) -> dict[str, object]:
    return {
        "id": transfer.id,
        "kind": str(transfer.kind),
        "debit_id": transfer.debit,
        "credit_id": transfer.credit,
        "amount_nano": transfer.amount_nano,
        "hold_id": transfer.hold_id,
        "order_id": transfer.order_id,
        "reference": transfer.reference,
    }
