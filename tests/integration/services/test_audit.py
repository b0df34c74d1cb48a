"""The audit finds what somebody changed by hand, and is never alarmed by those who only write at the same time."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Self

import pytest
from sqlalchemy import Engine, event, text

from backend.bootstrap import new_id, utc_now
from backend.domain.budgets import BudgetPeriod
from backend.domain.ids import AccountId, HoldId, TransferId
from backend.domain.ledger import (
    CREDITS_ID,
    WORLD_ID,
    Post,
    Reverse,
    Transfer,
    TransferKind,
    mirror,
)
from backend.domain.money import NANO_PER_CREDIT
from backend.services import accounts, audit, books, deposits, escrow
from backend.services.audit import GRACE, MEANINGS, AuditReport, Mode, meaning
from backend.storage import audit_runs
from backend.storage.audit import Figure
from backend.storage.ids import first_id_at
from tests.integration.services.earning import earn
from tests.market import Market
from tests.waiting import PATIENCE_S

LATER = GRACE + timedelta(seconds=1)  # when everything up to now has passed the mark
LARGE_NANO = 5_000_000_000 * NANO_PER_CREDIT // 1_000  # more than 32 bits


@pytest.fixture
def trading(market: Market) -> Market:
    """A market in which orders were settled, one waits, a transfer was reversed, and budgets were used."""
    trade(market)
    market.place(1)
    funding = Transfer(TransferId(new_id()), TransferKind.FUNDING, WORLD_ID, CREDITS_ID, LARGE_NANO)
    post(market, funding)
    reversal = mirror(funding, TransferId(new_id()))
    assert books.post(market.app.uow(), utc_now(), [Reverse(reversal)]) == [None]
    assert audit.audit_ledger(market.app.uow()).differences == ()
    return market


def trade(market: Market) -> None:
    market.node("a", slots=3)
    executor = market.executor()
    market.place(3)
    market.run(executor)


def post(market: Market, transfer: Transfer) -> None:
    assert books.post(market.app.uow(), utc_now(), [Post(transfer)]) == [None]


def tamper(market: Market, *statements: str) -> None:
    """Change rows as the tables' owner can, who may also switch the triggers off that refuse it."""
    with market.app.engine.begin() as connection:
        connection.execute(text("ALTER TABLE transfers DISABLE TRIGGER USER"))
        for statement in statements:
            assert connection.execute(text(statement)).rowcount != 0, statement
        connection.execute(text("ALTER TABLE transfers ENABLE TRIGGER USER"))


def found(report: AuditReport) -> set[str]:
    return {difference.what for difference in report.differences}


ANY_WALLET = "(SELECT id FROM ledger_accounts WHERE kind = 'wallet' AND posted_nano = 0 LIMIT 1)"
TAMPERING = {
    "UPDATE ledger_accounts SET posted_nano = posted_nano + 1 WHERE kind = 'earnings'": {
        "earnings balance",
        "sum of all balances",
    },
    "UPDATE ledger_accounts SET posted_nano = posted_nano + 4294967296 WHERE kind = 'fees'": {
        "fees balance",
        "sum of all balances",
    },
    "UPDATE ledger_accounts SET reserved_nano = reserved_nano + 1 WHERE posted_nano > 0 AND kind = 'wallet'": {
        "wallet reserved"
    },
    "UPDATE orders SET charged_nano = charged_nano - 1 WHERE charged_nano > 0": {"order charged"},
    "UPDATE transfers SET order_id = gen_random_uuid() WHERE kind = 'fee'": {"order charged"},
    "UPDATE transfers SET amount_nano = amount_nano + 1 WHERE kind = 'charge'": {
        "wallet balance",
        "earnings balance",
        "hold captured",
        "order charged",
    },
    f"UPDATE transfers SET debit_id = {ANY_WALLET} WHERE kind = 'charge'": {"wallet balance", "hold captured"},
    "UPDATE transfers SET hold_id = (SELECT id FROM holds WHERE state = 'pending' LIMIT 1) WHERE kind = 'fee'": {
        "hold captured"
    },
    "DELETE FROM transfers WHERE kind = 'deposit'": {"wallet balance", "world balance"},
    "UPDATE holds SET captured_nano = captured_nano - 1, released_nano = released_nano + 1 WHERE captured_nano > 0": {
        "hold captured",
        "budget used",
    },
    "UPDATE holds SET amount_nano = amount_nano + 1 WHERE state = 'pending'": {"wallet reserved", "budget used"},
    "UPDATE holds SET tier = 'small'": {"budget used"},
    "UPDATE holds SET created_at = created_at - interval '2 months' WHERE state = 'pending'": {"budget used"},
    "UPDATE budget_uses SET used_nano = used_nano - 1": {"budget used"},
    "DELETE FROM budget_uses": {"budget used"},
    "UPDATE transfers SET amount_nano = amount_nano - 1 WHERE kind = 'reversal'": {
        "credits balance",
        "world balance",
        "reversal",
    },
    "UPDATE transfers SET debit_id = credit_id, credit_id = debit_id WHERE kind = 'reversal'": {
        "credits balance",
        "world balance",
        "reversal",
    },
    "UPDATE transfers SET original_id = (SELECT id FROM transfers WHERE kind = 'deposit') WHERE kind = 'reversal'": {
        "reversal"
    },
}


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("tampering", "what"), TAMPERING.items())
def test_a_figure_changed_by_hand_is_found(trading: Market, tampering: str, what: set[str], exact: bool) -> None:
    tamper(trading, tampering)
    report = audit.audit_ledger(trading.app.uow(), exact=exact)
    assert found(report) == what
    assert not report.ok


def test_a_second_reversal_of_a_transfer_is_found(trading: Market) -> None:
    tamper(
        trading,
        "DROP INDEX uq_transfers_reversed",
        "INSERT INTO transfers (id, kind, debit_id, credit_id, amount_nano, original_id, created_at)"
        " SELECT gen_random_uuid(), kind, debit_id, credit_id, amount_nano, original_id, now()"
        " FROM transfers WHERE kind = 'reversal'",
    )
    report = audit.audit_ledger(trading.app.uow())
    assert found(report) == {"credits balance", "world balance", "reversal"}
    assert [d.computed_nano for d in report.differences if d.what == "reversal"] == [0]


def test_usage_that_cost_something_else_than_was_charged_is_found(trading: Market) -> None:
    tamper(
        trading,
        "INSERT INTO meters (name, unit, created_at) VALUES ('tokens', 'token', now())",
        "INSERT INTO usage_events (id, source, event_id, digest, meter, account_id, quantity_micro, occurred_at,"
        " received_at, price_version, amount_nano, state, transfer_id)"
        " SELECT gen_random_uuid(), 's', t.id::text, '', 'tokens', a.owner_id, 1, now(), now(), 1, t.amount_nano,"
        " 'charged', t.id"
        " FROM transfers t JOIN ledger_accounts a ON a.id = t.debit_id WHERE t.kind = 'fee'",
    )
    assert audit.audit_ledger(trading.app.uow()).ok
    tamper(trading, "UPDATE usage_events SET amount_nano = amount_nano + 1")
    assert found(audit.audit_ledger(trading.app.uow())) == {"usage charged"}


def test_a_difference_names_what_and_whose_it_is_and_what_it_means(trading: Market) -> None:
    tamper(
        trading, "UPDATE ledger_accounts SET posted_nano = posted_nano + 7 WHERE kind = 'earnings' AND posted_nano > 0"
    )
    earnings, total = audit.audit_ledger(trading.app.uow()).differences
    assert (earnings.what, earnings.about, earnings.recorded_nano - earnings.computed_nano) == (
        "earnings balance",
        "provider",
        7,
    )
    assert meaning(earnings) == MEANINGS[Figure.BALANCE]
    assert (total.what, total.recorded_nano, meaning(total)) == ("sum of all balances", 7, MEANINGS[Figure.SUM])


def test_one_accounts_figures_are_audited_alone(trading: Market) -> None:
    rival = trading.account("rival", NANO_PER_CREDIT).account_id
    tamper(
        trading,
        f"UPDATE ledger_accounts SET reserved_nano = 1 WHERE owner_id = '{rival}' AND kind = 'wallet'",
        "UPDATE orders SET charged_nano = charged_nano - 1 WHERE charged_nano > 0",
        "UPDATE budget_uses SET used_nano = used_nano + 1",
        "UPDATE holds SET captured_nano = captured_nano - 1, released_nano = released_nano + 1 WHERE captured_nano > 0",
    )
    assert found(audit_of(trading, rival)) == {"wallet reserved"}
    assert found(audit_of(trading, trading.buyer.account_id)) == {"order charged", "hold captured", "budget used"}
    assert found(audit_of(trading, trading.provider.account_id)) == set()


def audit_of(market: Market, account: AccountId) -> AuditReport:
    return audit.audit_ledger(market.app.uow(), account=account)


def test_budgets_of_a_day_in_another_time_zone_are_audited_by_its_days(trading: Market) -> None:
    tamper(
        trading,
        "INSERT INTO budgets (id, account_id, period, limit_nano, mode, timezone, created_at) SELECT gen_random_uuid(),"
        " id, 'day', 1, 'soft', 'Pacific/Apia', now() - interval '10 days' FROM accounts WHERE name = 'buyer'",
        "INSERT INTO budget_uses (budget_id, account_id, since, used_nano) SELECT b.id, b.account_id,"
        " date_trunc('day', h.created_at, 'Pacific/Apia'), sum(h.amount_nano - h.released_nano)"
        " FROM budgets b, holds h WHERE b.period = 'day' GROUP BY 1, 2, 3",
    )
    assert audit.audit_ledger(trading.app.uow()).ok
    tamper(trading, f"UPDATE budget_uses SET since = since + interval '1 hour' WHERE {OF_THE_DAY}")
    assert found(audit.audit_ledger(trading.app.uow())) == {"budget used"}
    tamper(trading, f"UPDATE budgets SET ended_at = now() WHERE period = '{BudgetPeriod.DAY}'")
    assert audit.audit_ledger(trading.app.uow()).ok


OF_THE_DAY = f"budget_id IN (SELECT id FROM budgets WHERE period = '{BudgetPeriod.DAY}')"


# What the incremental audit looks at each time: balances and reserves of all accounts.
@pytest.mark.parametrize(("tampering", "what"), list(TAMPERING.items())[:3])
def test_the_incremental_audit_finds_a_balance_changed_by_hand(trading: Market, tampering: str, what: set[str]) -> None:
    assert audit.audit_recent(trading.app.uow(), utc_now()).ok
    assert audit.audit_recent(trading.app.uow(), utc_now() + LATER).ok
    tamper(trading, tampering)
    report = audit.audit_recent(trading.app.uow(), utc_now() + LATER)
    assert found(report) == what
    assert report.mode is Mode.INCREMENTAL


@pytest.mark.parametrize(("tampering", "what"), TAMPERING.items())
def test_the_first_incremental_audit_finds_what_a_full_one_does(
    trading: Market, tampering: str, what: set[str]
) -> None:
    tamper(trading, tampering)
    assert found(audit.audit_recent(trading.app.uow(), utc_now())) == what - {"reversal"}


@pytest.mark.parametrize(
    ("tampering", "what"),
    [
        ("UPDATE orders SET charged_nano = charged_nano - 1 WHERE charged_nano > 0", "order charged"),
        (
            "UPDATE holds SET captured_nano = captured_nano - 1, released_nano = released_nano + 1"
            " WHERE captured_nano > 0",
            "hold captured",
        ),
    ],
)
def test_holds_and_orders_are_looked_at_once_when_their_transfers_pass_the_mark(
    market: Market, tampering: str, what: str
) -> None:
    assert audit.audit_recent(market.app.uow(), utc_now()).ok
    trade(market)
    assert audit.audit_recent(market.app.uow(), utc_now()).ok
    tamper(market, tampering)
    assert audit.audit_recent(market.app.uow(), utc_now()).ok
    assert found(audit.audit_recent(market.app.uow(), utc_now() + LATER)) == {what}
    assert audit.audit_recent(market.app.uow(), utc_now() + 2 * LATER).ok


def test_the_incremental_audit_adds_up_new_transfers_only(trading: Market) -> None:
    assert audit.audit_recent(trading.app.uow(), utc_now() + GRACE).transfers > 3
    for number in range(3):
        deposit(trading, f"new {number}")
    assert audit.audit_recent(trading.app.uow(), utc_now() + GRACE).transfers == 3
    assert audit.audit_recent(trading.app.uow(), utc_now() + GRACE).transfers == 0


def deposit(market: Market, reference: str, nano: int = 1) -> None:
    deposits.deposit(market.app.uow(), utc_now(), market.buyer.account_id, nano, reference)


def test_a_transfer_that_comes_later_than_the_grace_is_no_alarm_and_is_counted(trading: Market) -> None:
    assert audit.audit_recent(trading.app.uow(), utc_now() + LATER).ok
    late = Transfer(
        TransferId(first_id_at(utc_now() - timedelta(days=1))), TransferKind.FUNDING, WORLD_ID, CREDITS_ID, 9
    )
    post(trading, late)
    assert audit.audit_recent(trading.app.uow(), utc_now() + LATER).ok
    with trading.app.uow() as uow:
        mark = uow.checkpoints.mark()
        assert mark
        assert uow.checkpoints.suspects(mark, 10) == []


def test_an_account_opened_since_the_mark_is_audited(trading: Market) -> None:
    audit.audit_recent(trading.app.uow(), utc_now())
    new = trading.account("new", NANO_PER_CREDIT)
    assert audit.audit_recent(trading.app.uow(), utc_now()).ok
    tamper(trading, f"UPDATE ledger_accounts SET posted_nano = 0 WHERE owner_id = '{new.account_id}'")
    assert found(audit.audit_recent(trading.app.uow(), utc_now())) == {"wallet balance", "sum of all balances"}


class Between:
    """Lets somebody else write before each statement that is sent while this is entered."""

    def __init__(self, engine: Engine, write: Callable[[], object]) -> None:
        self._engine, self._write = engine, write
        self._writes = False
        self.count = 0

    def __enter__(self) -> Self:
        event.listen(self._engine, "before_cursor_execute", self._seen)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._seen)

    def _seen(self, *_: object) -> None:
        if not self._writes:
            self._writes = True
            self._write()
            self._writes = False
            self.count += 1


@pytest.mark.parametrize("ahead", [timedelta(0), LATER], ids=["behind the mark", "ahead of it"])
def test_whoever_writes_between_any_two_statements_of_an_audit_does_not_alarm_it(
    market: Market, ahead: timedelta
) -> None:
    audits: list[Callable[[], AuditReport]] = [
        lambda: audit.audit_recent(market.app.uow(), utc_now() + ahead),
        lambda: audit.audit_ledger(market.app.uow()),
        lambda: audit.audit_ledger(market.app.uow(), exact=True),
    ]
    for _ in range(2):
        for run in audits:
            with Between(market.app.engine, lambda: earn(market, 7)) as others:
                assert run().differences == ()
            assert others.count > 5
    assert audit.audit_recent(market.app.uow(), utc_now() + LATER).ok


def test_what_is_committed_only_after_the_mark_has_passed_it_is_no_alarm_and_audited_from_then_on(
    market: Market,
) -> None:
    assert audit.audit_recent(market.app.uow(), utc_now()).ok
    with market.app.uow() as slow:
        need = escrow.Need(market.buyer.spender, HoldId(new_id()), 9, utc_now())
        escrow.reserve_one(slow, utc_now(), need)
        escrow.capture(slow, utc_now(), [escrow.Charge(need.hold_id, market.provider.account_id, 9)])
        assert audit.audit_recent(market.app.uow(), utc_now() + LATER).ok
        slow.commit()
    for _ in range(2):
        assert audit.audit_recent(market.app.uow(), utc_now() + LATER).ok
    tamper(market, "UPDATE ledger_accounts SET posted_nano = posted_nano + 1 WHERE kind = 'earnings'")
    assert "earnings balance" in found(audit.audit_recent(market.app.uow(), utc_now() + LATER))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE transfers SET order_id = gen_random_uuid() WHERE kind = 'fee'",
        "UPDATE orders SET charged_nano = charged_nano - 1 WHERE charged_nano > 0",
        "UPDATE budget_uses SET used_nano = used_nano - 1",
        "UPDATE transfers SET amount_nano = amount_nano - 1 WHERE kind = 'reversal'",
    ],
)
def test_what_the_incremental_audit_does_not_look_at_again_the_full_one_finds(trading: Market, statement: str) -> None:
    for _ in range(2):
        assert audit.audit_recent(trading.app.uow(), utc_now() + LATER).ok
    tamper(trading, statement)
    assert audit.audit_recent(trading.app.uow(), utc_now() + LATER).ok
    assert not audit.audit_ledger(trading.app.uow()).ok


@pytest.mark.parametrize("ahead", [timedelta(0), GRACE], ids=["with grace", "with a mark amid them"])
def test_writers_at_the_same_time_are_no_alarm(market: Market, ahead: timedelta) -> None:
    payers = [market.account(f"payer-{number}").account_id for number in range(4)]
    stop = threading.Event()

    def pay(account: AccountId) -> int:
        booked = 0
        while not stop.is_set():
            deposits.deposit(market.app.uow(), utc_now(), account, 7, f"{account} {booked}")
            booked += 1
        return booked

    def look(run: Callable[[], AuditReport]) -> list[AuditReport]:
        return [run() for _ in range(25)]

    with ThreadPoolExecutor(6) as pool:
        paying = [pool.submit(pay, account) for account in payers]
        recent = pool.submit(look, lambda: audit.audit_recent(market.app.uow(), utc_now() + ahead))
        full = pool.submit(look, lambda: audit.audit_ledger(market.app.uow()))
        try:
            reports = [*recent.result(PATIENCE_S), *full.result(PATIENCE_S)]
        finally:
            stop.set()
        booked = [future.result(PATIENCE_S) for future in paying]
    assert [d for report in reports for d in report.differences] == []
    assert audit.audit_recent(market.app.uow(), utc_now()).ok
    for account, count in zip(payers, booked, strict=True):
        assert count > 0
        assert accounts.show_account(market.app.uow(), account).wallet_nano == 7 * count


def test_of_the_results_the_newest_are_kept(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_runs, "RUNS_KEPT", 2)
    audit.keep(market.app.uow(), utc_now(), audit.audit_ledger(market.app.uow()))
    for _ in range(4):
        audit.audit_recent(market.app.uow(), utc_now())
    tamper(market, "UPDATE ledger_accounts SET posted_nano = posted_nano + 1 WHERE kind = 'fees'")
    audit.audit_recent(market.app.uow(), utc_now())
    with market.app.uow() as uow:
        runs = {run.mode: run for run in uow.audit_runs.newest()}
    assert (runs["full"].ok, runs["incremental"].ok) == (True, False)
    told = [str(difference) for difference in runs["incremental"].differences]
    assert len(told) == 2
    assert "fees balance" in told[0]
    assert "sum of all balances" in told[1]
    with market.app.engine.connect() as connection:
        kept = connection.execute(text("SELECT mode, count(*) FROM audit_runs GROUP BY mode ORDER BY mode")).all()
    assert [tuple(row) for row in kept] == [("full", 1), ("incremental", 2)]
