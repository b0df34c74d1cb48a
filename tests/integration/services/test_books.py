"""Batches of ledger operations on real PostgreSQL: constant statements, outcomes by item, groups all or none."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from backend.bootstrap import new_id, utc_now
from backend.domain.errors import InsufficientFunds, Invalid, NotFound, SwarmexError, TooLarge
from backend.domain.ids import AccountId, HoldId, LedgerAccountId, TransferId
from backend.domain.ledger import (
    CREDITS_ID,
    FEES_ID,
    WORLD_ID,
    AccountKind,
    Linked,
    Operation,
    Post,
    Release,
    Reserve,
    Reverse,
    Transfer,
    TransferKind,
    mirror,
)
from backend.services import audit, books
from tests.market import Market, Statements


def wallet_of(market: Market, account: AccountId) -> LedgerAccountId:
    with market.app.uow() as uow:
        return uow.ledger.balances_of(account)[AccountKind.WALLET].account


def funding(nano: int, source: LedgerAccountId = WORLD_ID) -> Transfer:
    return Transfer(TransferId(new_id()), TransferKind.FUNDING, source, CREDITS_ID, nano)


def post(market: Market, *operations: Operation | Linked) -> list[SwarmexError | None]:
    return books.post(market.app.uow(), utc_now(), operations)


def credits_left(market: Market) -> int:
    with market.app.uow() as uow:
        return uow.ledger.lock(others=[CREDITS_ID]).balances[CREDITS_ID].posted_nano


def test_a_batch_takes_the_same_number_of_statements_for_any_size(market: Market) -> None:
    counts = []
    for size in (2, 10, 1_000):
        with Statements(market.app.engine) as statements:
            assert post(market, *(Post(funding(1)) for _ in range(size))) == [None] * size
        counts.append(statements.count)
    assert counts == [3, 3, 3]
    assert credits_left(market) == 1_012
    assert audit.audit_ledger(market.app.uow()).ok


def test_a_transfer_alone_is_refused_for_what_it_would_be_refused_for_in_a_batch(market: Market) -> None:
    unknown = LedgerAccountId(new_id())
    bad = [
        funding(0),
        funding(10**18 + 1),
        funding(1, unknown),
        funding(1, CREDITS_ID),
        funding(1, FEES_ID),
    ]
    alone = [post(market, Post(transfer))[0] for transfer in bad]
    together = post(market, *(Post(transfer) for transfer in bad))
    assert [type(error) for error in alone] == [type(error) for error in together]
    assert [type(error) for error in alone] == [Invalid, Invalid, NotFound, Invalid, InsufficientFunds]
    assert credits_left(market) == 0


def test_one_bad_operation_is_told_by_its_place_and_sinks_only_the_group_that_it_is_in(market: Market) -> None:
    wallet = wallet_of(market, market.buyer.account_id)
    hold = HoldId(new_id())
    reserve = Reserve(hold, wallet, 5, utc_now() + timedelta(days=1))
    outcomes = post(
        market,
        Post(funding(3)),
        Post(funding(1, FEES_ID)),
        Linked((reserve, Post(funding(1, FEES_ID)))),
        Linked((Post(funding(4)), reserve)),
        Release(HoldId(new_id())),
        Release(hold),
    )
    assert [type(error) for error in outcomes] == [
        type(None),
        InsufficientFunds,
        InsufficientFunds,
        type(None),
        NotFound,
        type(None),
    ]
    assert credits_left(market) == 7
    assert market.wallet().reserved_nano == 0
    assert audit.audit_ledger(market.app.uow()).ok


def test_a_transfer_is_reversed_once_by_the_services_and_by_the_database(market: Market) -> None:
    original = funding(9)
    post(market, Post(original))
    first, second = (mirror(original, TransferId(new_id())) for _ in range(2))
    assert post(market, Reverse(first)) == [None]
    [error] = post(market, Reverse(second))
    assert error is not None
    assert error.code == "already_reversed"
    with pytest.raises(DBAPIError, match="uq_transfers_reversed"), market.app.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO transfers (id, kind, debit_id, credit_id, amount_nano, original_id, created_at)"
            " SELECT gen_random_uuid(), kind, debit_id, credit_id, amount_nano, original_id, created_at"
            " FROM transfers WHERE kind = 'reversal'"
        )
    with pytest.raises(DBAPIError, match="no mirror"), market.app.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO transfers (id, kind, debit_id, credit_id, amount_nano, original_id, created_at)"
            " SELECT gen_random_uuid(), 'reversal', credit_id, debit_id, amount_nano - 1, id, created_at"
            " FROM transfers WHERE kind = 'funding'"
        )
    assert credits_left(market) == 0


@pytest.mark.parametrize(
    "statement", ["UPDATE transfers SET amount_nano = 1", "DELETE FROM transfers", "TRUNCATE transfers"]
)
def test_transfers_cannot_be_changed_even_by_the_owner_of_the_database(market: Market, statement: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), market.app.engine.begin() as connection:
        connection.exec_driver_sql(statement)


def test_sixteen_threads_of_single_transfers_and_batches_never_overdraw_and_never_deadlock(market: Market) -> None:
    wallets = [wallet_of(market, market.account(f"account-{n}", 100).account_id) for n in range(4)]

    def spend(number: int) -> int:
        debit, credit = wallets[number % 4], wallets[(number + 1 + number // 4 % 3) % 4]
        pairs = [(debit, credit), (credit, debit)] if number % 2 else [(debit, credit)]
        moves = [Post(Transfer(TransferId(new_id()), TransferKind.REFUND, d, c, 7)) for d, c in pairs]
        return sum(outcome is None for outcome in books.post(market.app.uow(), utc_now(), moves))

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(spend, range(400))) > 100
    with market.app.uow() as uow:
        balances = uow.ledger.lock(others=wallets).balances
    assert sum(balance.posted_nano for balance in balances.values()) == 400
    assert all(balance.posted_nano >= 0 for balance in balances.values())
    assert audit.audit_ledger(market.app.uow()).ok


def test_a_batch_has_a_limit(market: Market) -> None:
    with pytest.raises(TooLarge):
        post(market)
    with pytest.raises(TooLarge):
        post(market, *[Post(funding(1))] * (books.OPERATIONS_MAX + 1))
