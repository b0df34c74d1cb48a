"""Statements: opening + changes = closing, page by page, and what the books show under an id."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain.errors import Invalid, NotFound, SwarmexError
from backend.domain.ids import TransferId
from backend.domain.ledger import AccountKind
from backend.domain.money import NANO_PER_CREDIT
from backend.services import corrections, deposits, statements
from backend.services.statements import AccountBooks, HoldBooks, OrderBooks, Statement
from backend.storage.statements import Entry
from tests.integration.services.earning import ADMIN, CHARGED, ran, ran_again
from tests.market import Market

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def saver(market: Market, days: int = 10) -> UUID:
    """An account that was paid n nano-credits on the n-th day of January."""
    account = market.account("saver").account_id
    for day in range(1, days + 1):
        deposits.deposit(market.app.uow(), JANUARY + (day - 1) * DAY, account, day, f"day {day}")
    return account


def statement(market: Market, account: UUID, **how: object) -> Statement:
    return statements.statement(market.app.uow(), account, **how)  # type: ignore[arg-type]


def test_a_period_opens_with_what_was_before_and_every_row_has_its_running_balance(market: Market) -> None:
    found = statement(market, saver(market), since=JANUARY + 3 * DAY, until=JANUARY + 6 * DAY)
    assert (found.opening_nano, found.closing_nano) == (1 + 2 + 3, 1 + 2 + 3 + 4 + 5 + 6)
    assert [(row.change_nano, row.balance_nano) for row in found.rows] == [(4, 10), (5, 15), (6, 21)]
    assert found.next_after is None
    assert [row.entry.created_at for row in found.rows] == [JANUARY + day * DAY for day in (3, 4, 5)]


def test_pages_continue_where_the_last_one_ended(market: Market) -> None:
    account, since = saver(market), JANUARY + DAY
    pages: list[Statement] = []
    while not pages or pages[-1].next_after:
        after = pages[-1].next_after if pages else None
        pages.append(statement(market, account, since=since, limit=4, after=after))
    assert [len(page.rows) for page in pages] == [4, 4, 1]
    assert [page.opening_nano for page in pages[1:]] == [page.closing_nano for page in pages[:-1]]
    assert (pages[0].opening_nano, pages[-1].closing_nano) == (1, 55)


def test_a_whole_statement_ends_with_the_balance_that_the_ledger_has(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = ran(market)
    ran_again(market)
    with market.app.uow() as uow:
        charge = uow.ledger.transfers_of_order(order.id)[0]
    corrections.replace_charge(market.app.uow(), utc_now(), ADMIN, charge.id, CHARGED // 2, "half")
    monkeypatch.setattr(statements, "PAGE_MAX", 2)
    for principal, kind in ((market.buyer, "wallet"), (market.provider, "earnings")):
        pages = list(statements.pages(market.app.uow(), principal.account_id, kind))
        assert len(pages) > 1
        with market.app.uow() as uow:
            recorded = uow.ledger.balances_of(principal.account_id)[AccountKind(kind)].posted_nano
        assert (pages[0].opening_nano, pages[-1].closing_nano) == (0, recorded)
    [*_, fees] = statements.pages(market.app.uow(), None, "fees")
    with market.app.uow() as uow:
        assert fees.closing_nano == sum(
            t.amount_nano * (-1 if t.kind == "reversal" else 1)
            for t in (e.transfer for e in uow.statements.newest(100, None))
            if "fees" in (_kinds(market, t.id))
        )


def _kinds(market: Market, transfer: TransferId) -> tuple[str, str]:
    with market.app.uow() as uow:
        entry = uow.statements.entry(transfer)
    assert entry is not None
    return entry.debit.kind, entry.credit.kind


def test_an_account_without_movements_has_an_empty_statement(market: Market) -> None:
    found = statement(market, market.provider.account_id, kind="earnings")
    assert (found.opening_nano, found.rows, found.closing_nano, found.next_after) == (0, [], 0, None)
    assert len(list(statements.pages(market.app.uow(), market.provider.account_id))) == 1


@pytest.mark.parametrize(
    ("how", "code", "field"),
    [
        ({"kind": "pocket"}, "invalid_kind", "kind"),
        ({"kind": "fees"}, "invalid_kind", "kind"),
        ({"limit": 0}, "invalid_limit", "limit"),
        ({"since": JANUARY, "until": JANUARY}, "invalid_period", "to"),
    ],
)
def test_what_is_no_statement_is_refused(market: Market, how: dict[str, object], code: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        statement(market, market.buyer.account_id, **how)
    assert (refused.value.code, refused.value.field) == (code, field)
    assert refused.value.accepted
    with pytest.raises(NotFound):
        statement(market, new_id())
    with pytest.raises(Invalid):
        statements.statement(market.app.uow(), None)


def test_the_books_show_accounts_transfers_holds_and_orders_by_id(market: Market) -> None:
    order = ran(market)
    [waiting] = market.place()

    def look(what: UUID | str) -> object:
        return statements.look(market.app.uow(), what)

    account = look("buyer")
    assert isinstance(account, AccountBooks)
    assert account == look(market.buyer.account_id)
    assert account.balances[AccountKind.WALLET].posted_nano == 1_000 * NANO_PER_CREDIT - CHARGED
    assert [held.hold.id for held in account.holds] == [waiting.hold_id]
    assert [entry.transfer.kind for entry in account.entries] == ["fee", "charge", "deposit"]
    found = look(order.id)
    assert isinstance(found, OrderBooks)
    assert [entry.transfer.kind for entry in found.entries] == ["charge", "fee"]
    assert found.held is not None
    hold = look(order.hold_id)
    assert isinstance(hold, HoldBooks)
    assert (hold.held, hold.entries) == (found.held, found.entries)
    assert hold.held.owner_id == market.buyer.account_id
    charge = found.entries[0]
    assert look(charge.transfer.id) == charge
    for nothing in ("nobody", new_id()):
        with pytest.raises(NotFound) as refused:
            look(nothing)
        assert refused.value.code == "unknown_entry"


def test_a_transfer_tells_what_reversed_it_and_what_took_its_place(market: Market) -> None:
    order = ran(market)

    def entries() -> list[Entry]:
        found = statements.look(market.app.uow(), order.id)
        assert isinstance(found, OrderBooks)
        return found.entries

    charge = entries()[0]
    assert (charge.reversed_by, charge.replaced_by) == (None, None)
    corrections.replace_charge(market.app.uow(), utc_now(), ADMIN, charge.transfer.id, CHARGED // 2, "half")
    first, _, reversal, anew, _, _ = entries()
    assert (first.reversed_by, first.replaced_by) == (reversal.transfer.id, anew.transfer.id)
    assert {reversal.transfer.original_id, anew.transfer.original_id} == {charge.transfer.id}


def test_transfers_are_listed_newest_first_to_both_parties_and_shown_to_nobody_else(market: Market) -> None:
    order = ran(market)
    stranger = market.account("stranger")
    mine = statements.list_transfers(market.app.uow(), market.buyer.account_id)
    theirs = statements.list_transfers(market.app.uow(), market.provider.account_id)
    everybodys = statements.list_transfers(market.app.uow(), None)
    assert [e.transfer.kind for e in mine] == ["fee", "charge", "deposit"]
    assert [e.transfer.kind for e in theirs] == ["charge"]
    assert everybodys == mine
    older = statements.list_transfers(market.app.uow(), market.buyer.account_id, 1, mine[0].transfer.id)
    assert older == mine[1:2]
    assert statements.list_transfers(market.app.uow(), None, 1, mine[0].transfer.id) == older
    assert statements.list_transfers(market.app.uow(), stranger.account_id) == []
    charge = theirs[0].transfer
    assert charge.order_id == order.id
    for principal in (market.buyer, market.provider, ADMIN):
        assert statements.show_transfer(market.app.uow(), charge.id, principal).transfer == charge
    for principal, what in ((stranger, charge.id), (ADMIN, TransferId(new_id()))):
        with pytest.raises(SwarmexError) as refused:
            statements.show_transfer(market.app.uow(), what, principal)
        assert refused.value.code == "unknown_transfer"
    for limit in (0, 501):
        with pytest.raises(Invalid):
            statements.list_transfers(market.app.uow(), None, limit)
