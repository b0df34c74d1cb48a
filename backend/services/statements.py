"""Looking into the books: statements with running balances; accounts, transfers, holds and orders as they stand."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from backend.domain.access import Principal, Role
from backend.domain.errors import Invalid, NotFound, unknown_choice
from backend.domain.ids import AccountId, HoldId, LedgerAccountId, OrderId, TransferId
from backend.domain.ledger import CREDITS_ID, FEES_ID, OWNED_KINDS, WORLD_ID, AccountKind, Balance
from backend.services.accounts import find_account
from backend.storage.accounts import Account
from backend.storage.order_rows import Order
from backend.storage.statements import Entry, HeldFor
from backend.storage.unit_of_work import UnitOfWork

LIST_MAX = 500
PAGE_MAX = 1_000
SHOWN_MAX = 20  # transfers and holds of an account that is looked at
MARKET_ACCOUNTS = {AccountKind.FEES: FEES_ID, AccountKind.CREDITS: CREDITS_ID, AccountKind.WORLD: WORLD_ID}
_ALWAYS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Row:
    """A transfer as one account sees it: what it gained (or lost, below zero) and has then, in nano-credits."""

    entry: Entry
    change_nano: int
    balance_nano: int


@dataclass(frozen=True, slots=True)
class Statement:
    """What moved on a ledger account in [since, until), in id order; opening + changes = closing.

    A statement that is longer than a page goes on at `next_after`, where its opening is this one's closing.
    """

    account_id: AccountId | None
    kind: AccountKind
    since: datetime | None
    until: datetime | None
    opening_nano: int
    rows: list[Row]
    closing_nano: int
    next_after: TransferId | None


@dataclass(frozen=True, slots=True)
class AccountBooks:
    """An account's balances by kind, its pending holds and its last transfers, the newest first."""

    account: Account
    balances: dict[AccountKind, Balance]
    holds: list[HeldFor]
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class HoldBooks:
    """A hold and what was captured from it."""

    held: HeldFor
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class OrderBooks:
    """An order, its holds' captures and all that corrected them."""

    order: Order
    held: HeldFor | None
    entries: list[Entry]


def look(uow: UnitOfWork, what: UUID | str) -> AccountBooks | Entry | HoldBooks | OrderBooks:
    """What the books have under an account's name or id, or the id of a transfer, hold or order; raises NotFound."""
    with uow:
        account = uow.accounts.find(what)
        if account:
            balances = uow.ledger.balances_of(account.id)
            ids = [balance.account for balance in balances.values()]
            entries = uow.statements.newest_of(ids, SHOWN_MAX, None)
            return AccountBooks(account, balances, uow.statements.pending_of(account.id, SHOWN_MAX), entries)
        if isinstance(what, UUID):
            if entry := uow.statements.entry(TransferId(what)):
                return entry
            if held := uow.statements.hold(HoldId(what)):
                return HoldBooks(held, uow.statements.of_hold(held.hold.id))
            if order := uow.orders.find(OrderId(what)):
                return OrderBooks(order, uow.statements.hold(order.hold_id), uow.statements.of_order(order.id))
    raise NotFound("entry", what, field="what", accepted="an account, or the id of a transfer, a hold or an order")


def show_transfer(uow: UnitOfWork, transfer_id: TransferId, principal: Principal) -> Entry:
    """A transfer of or to one of the caller's accounts (admins: any); raises NotFound."""
    with uow:
        entry = uow.statements.entry(transfer_id)
    if entry is None or not is_visible(entry, principal):
        raise NotFound("transfer", transfer_id)
    return entry


def is_visible(entry: Entry, principal: Principal) -> bool:
    """Whether a caller may see a transfer: both of its parties and admins do."""
    return principal.role is Role.ADMIN or principal.account_id in (entry.debit.owner_id, entry.credit.owner_id)


def list_transfers(
    uow: UnitOfWork, account_id: AccountId | None, limit: int = 100, before: TransferId | None = None
) -> list[Entry]:
    """The newest transfers of an account, or of everybody; `before` continues a list below its last id."""
    _check_limit(limit, LIST_MAX)
    with uow:
        if account_id is None:
            return uow.statements.newest(limit, before)
        find_account(uow, account_id)
        ids = [balance.account for balance in uow.ledger.balances_of(account_id).values()]
        return uow.statements.newest_of(ids, limit, before)


def statement(
    uow: UnitOfWork,
    account_id: AccountId | None,
    kind: str = AccountKind.WALLET,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = PAGE_MAX,
    after: TransferId | None = None,
) -> Statement:
    """One page of the statement of an account's wallet, earnings or withheld money, or of one of the market's own.

    Raises NotFound, or Invalid for a kind, period or limit that cannot be.
    """
    _check_limit(limit, PAGE_MAX)
    with uow:
        uow.audit.freeze()
        ledger_id = _ledger_account(uow, account_id, kind)
        return _page(uow, ledger_id, account_id, AccountKind(kind), since, until, limit, after)


def pages(
    uow: UnitOfWork,
    account_id: AccountId | None,
    kind: str = AccountKind.WALLET,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Generator[Statement, None, None]:
    """The whole statement page by page, all of one moment; at least one page. Raises as `statement` does."""
    with uow:
        uow.audit.freeze()
        ledger_id = _ledger_account(uow, account_id, kind)
        after = None
        while True:
            page = _page(uow, ledger_id, account_id, AccountKind(kind), since, until, PAGE_MAX, after)
            yield page
            after = page.next_after
            if after is None:
                return


def _page(
    uow: UnitOfWork,
    ledger_id: LedgerAccountId,
    account_id: AccountId | None,
    kind: AccountKind,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    after: TransferId | None,
) -> Statement:
    start, end = since or _ALWAYS[0], until or _ALWAYS[1]
    if start >= end:
        raise Invalid("the period has no length", code="invalid_period", field="to", accepted="a time after its start")
    opening = uow.statements.balance_before(ledger_id, start, end, after)
    entries = uow.statements.page(ledger_id, start, end, after, limit)
    rows = _running(ledger_id, opening, entries)
    closing = rows[-1].balance_nano if rows else opening
    following = entries[-1].transfer.id if len(entries) == limit else None
    return Statement(account_id, kind, since, until, opening, rows, closing, following)


def _running(ledger_id: LedgerAccountId, opening_nano: int, entries: Sequence[Entry]) -> list[Row]:
    rows, balance = [], opening_nano
    for entry in entries:
        change = entry.transfer.amount_nano if entry.transfer.credit == ledger_id else -entry.transfer.amount_nano
        balance += change
        rows.append(Row(entry, change, balance))
    return rows


def _ledger_account(uow: UnitOfWork, account_id: AccountId | None, kind: str) -> LedgerAccountId:
    if account_id is None and kind in MARKET_ACCOUNTS:
        return MARKET_ACCOUNTS[AccountKind(kind)]
    if account_id is None or kind not in OWNED_KINDS:
        raise unknown_choice("kind", kind, list(MARKET_ACCOUNTS) if account_id is None else list(OWNED_KINDS))
    find_account(uow, account_id)
    return uow.ledger.balances_of(account_id)[AccountKind(kind)].account


def _check_limit(limit: int, most: int) -> None:
    if not 1 <= limit <= most:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {most}")
