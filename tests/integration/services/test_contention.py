"""Transactions that PostgreSQL gives up are repeated a bounded number of times, and counted."""

import threading
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from backend.storage.contention import ATTEMPTS_MAX, RETRIES, Contention, patient
from backend.storage.unit_of_work import UnitOfWork
from tests.market import Market
from tests.waiting import PATIENCE_S


def lock(uow: UnitOfWork, account: UUID) -> None:
    uow.connection.execute(text("SELECT 1 FROM accounts WHERE id = :id FOR UPDATE"), {"id": account})


def test_of_two_transactions_that_wait_for_each_other_one_is_repeated_and_both_get_through(market: Market) -> None:
    accounts = (market.buyer.account_id, market.provider.account_id)
    both_hold_one = threading.Barrier(2)
    first_attempts = {0, 1}

    @patient
    def crossing(uow: UnitOfWork, number: int) -> int:
        with uow:
            lock(uow, accounts[number])
            if number in first_attempts:
                first_attempts.discard(number)
                both_hold_one.wait(PATIENCE_S)
            lock(uow, accounts[1 - number])
            uow.commit()
        return number

    before = RETRIES["crossing"]
    done: list[int] = []
    threads = [threading.Thread(target=lambda n=n: done.append(crossing(market.app.uow(), n))) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(done) == [0, 1]
    assert RETRIES["crossing"] == before + 1


def test_what_is_given_up_again_and_again_is_told_as_contention(market: Market) -> None:
    attempts = []

    @patient
    def hopeless(uow: UnitOfWork) -> None:
        with uow:
            attempts.append(1)
            uow.connection.execute(text("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$"))

    with pytest.raises(Contention) as refused:
        hopeless(market.app.uow())
    assert (len(attempts), refused.value.code) == (ATTEMPTS_MAX, "contention")


def test_what_is_given_up_while_statements_are_sent_is_told_as_contention_and_other_errors_as_themselves(
    market: Market,
) -> None:
    def send(state: str) -> None:
        with market.app.uow() as uow, uow.sending():
            uow.connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$"))
            uow.connection.execute(text("DO $$ BEGIN NULL; END $$"))

    with pytest.raises(Contention):
        send("40P01")
    with pytest.raises((DBAPIError, psycopg.Error), match="no"):
        send("57014")
    assert market.wallet().wallet_nano > 0  # its connection serves on
