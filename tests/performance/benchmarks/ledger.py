"""Transfers, holds and charges per second, held against the raw statements that write the same rows."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import text

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Spender
from backend.domain.ids import AccountId, HoldId, LedgerAccountId, TransferId
from backend.domain.ledger import FEES_ID, WORLD_ID, Post, Transfer, TransferKind
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.tiers import TierName
from backend.services import books, escrow
from backend.services.escrow import Charge, Need
from tests.market import Market
from tests.performance.bench import Bench
from tests.performance.pairs import ROUNDS, Pairs
from tests.performance.rows import Row, Target
from tests.performance.servers import libpq

ACCOUNTS = 10_000
BATCH = 1_000
BATCHES = 5  # a measurement
CYCLE = 500
SINGLES = 500
SEED = 20
RAW = "INSERT … SELECT unnest and UPDATE … FROM unnest of the same rows, nothing asked"


def run(bench: Bench) -> Iterator[Row]:
    """Every contender on the same tables, of which each batch touches other rows."""
    with bench.market() as market, psycopg.connect(libpq(market.app.database_url), autocommit=True) as connection:
        wallets, owners = _wallets(market)
        dice = random.Random(SEED)

        def pairs_of(count: int) -> list[tuple[LedgerAccountId, LedgerAccountId]]:
            return [(debit, credit) for debit, credit in (dice.sample(wallets, 2) for _ in range(count))]

        def hot(count: int) -> list[tuple[LedgerAccountId, LedgerAccountId]]:
            return [(debit, FEES_ID) for debit in dice.sample(wallets, count)]

        def ours(ends: Callable[[int], list[Any]]) -> float:
            batches = [[_post(debit, credit) for debit, credit in ends(BATCH)] for _ in range(BATCHES)]
            started = time.perf_counter()
            for batch in batches:
                assert not any(books.post(market.app.uow(), utc_now(), batch))
            return BATCH * BATCHES / (time.perf_counter() - started)

        def raw() -> float:
            batches = [_raw_columns(pairs_of(BATCH)) for _ in range(BATCHES)]
            started = time.perf_counter()
            for transfers, balances in batches:
                with connection.transaction():
                    connection.execute(_RAW_INSERT, transfers)
                    connection.execute(_RAW_UPDATE, balances)
            return BATCH * BATCHES / (time.perf_counter() - started)

        batched = bench.pairs(lambda: ours(pairs_of), raw)
        yield _row("batched_transfers", batched, "transfers/s", RAW, Target("ratio", "≥", 0.5))
        fees = bench.pairs(lambda: ours(hot), lambda: ours(pairs_of))
        yield _row("hot_account_transfers", fees, "transfers/s", "batched_transfers", Target("ratio", "≥", 0.8))

        def cycles() -> float:
            started = time.perf_counter()
            for _ in range(2):
                _cycle(market, dice.choices(owners, k=CYCLE))
            return 2 * CYCLE / (time.perf_counter() - started)

        cycled = bench.pairs(cycles, raw)
        yield _row("escrow_cycle", cycled, "orders/s", f"transfers/s by {RAW}", Target("value", "≥", 5_000))

        def single(debit: LedgerAccountId, credit: LedgerAccountId) -> None:
            assert books.post(market.app.uow(), utc_now(), [_post(debit, credit)]) == [None]

        def raw_single(debit: LedgerAccountId, credit: LedgerAccountId) -> None:
            connection.execute(_RAW_SINGLE, {"id": new_id(), "debit": debit, "credit": credit, "now": utc_now()})

        rounds = []
        for _ in range(ROUNDS):
            rounds.append(_in_turns(single, raw_single, pairs_of(2 * SINGLES)))
            bench.step()
        singles = Pairs(*zip(*rounds, strict=True))
        reference = "transfers/s, one CTE by psycopg"
        yield _row("single_transfer", singles, "transfers/s", reference, Target("ratio", "≥", 0.7))


def _in_turns(
    ours: Callable[[LedgerAccountId, LedgerAccountId], None],
    reference: Callable[[LedgerAccountId, LedgerAccountId], None],
    ends: Sequence[tuple[LedgerAccountId, LedgerAccountId]],
) -> tuple[float, float]:
    """Calls a second of each, one by one in turns: how long a disk takes to sync doubles within a second (measured)."""
    seconds = [0.0, 0.0]
    for number, (debit, credit) in enumerate(ends):
        started = time.perf_counter()
        (ours, reference)[number % 2](debit, credit)
        seconds[number % 2] += time.perf_counter() - started
    return len(ends) / 2 / seconds[0], len(ends) / 2 / seconds[1]


def _row(name: str, pairs: Any, unit: str, reference: str, target: Target) -> Row:
    return Row(name, pairs.value, unit, reference, pairs.reference_value, pairs.ratio, target)


def _wallets(market: Market) -> tuple[list[LedgerAccountId], list[AccountId]]:
    """As many accounts, each with a credit in its wallet."""
    owners = [AccountId(new_id()) for _ in range(ACCOUNTS)]
    wallets = [LedgerAccountId(new_id()) for _ in range(ACCOUNTS)]
    with market.app.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO accounts (id, name, created_at) SELECT id, id::text, now() FROM unnest(:ids) AS t (id)"),
            {"ids": owners},
        )
        connection.execute(
            text(
                "INSERT INTO ledger_accounts (id, owner_id, kind)"
                " SELECT id, owner, 'wallet' FROM unnest(:ids, :owners) AS t (id, owner)"
            ),
            {"ids": wallets, "owners": owners},
        )
    for start in range(0, ACCOUNTS, BATCH):
        filled = [
            Post(_transfer(WORLD_ID, wallet, NANO_PER_CREDIT * 1_000, TransferKind.DEPOSIT, str(wallet)))
            for wallet in wallets[start : start + BATCH]
        ]
        assert not any(books.post(market.app.uow(), utc_now(), filled))
    with market.app.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))
    return wallets, owners


def _transfer(
    debit: LedgerAccountId, credit: LedgerAccountId, nano: int, kind: TransferKind, reference: str | None = None
) -> Transfer:
    return Transfer(TransferId(new_id()), kind, debit, credit, nano, reference=reference)


def _post(debit: LedgerAccountId, credit: LedgerAccountId) -> Post:
    return Post(_transfer(debit, credit, 1, TransferKind.REFUND))


def _cycle(market: Market, owners: Sequence[AccountId]) -> None:
    """Hold, charge with a fee, and release, for one order each."""
    now = utc_now()
    needs = [Need(Spender(owner), HoldId(new_id()), 1_000, now, TierName.MEDIUM) for owner in owners]
    with market.app.uow() as uow:
        assert not any(escrow.reserve(uow, now, needs))
        uow.commit()
    charges = [Charge(n.hold_id, market.provider.account_id, 600, 50_000) for n in needs]
    with market.app.uow() as uow:
        escrow.capture(uow, now, charges, [n.hold_id for n in needs])
        uow.commit()


_RAW_INSERT = """
    INSERT INTO transfers (id, kind, debit_id, credit_id, amount_nano, created_at)
    SELECT id, 'refund', debit, credit, 1, %(now)s
    FROM unnest(%(id)s::uuid[], %(debit)s::uuid[], %(credit)s::uuid[]) AS t (id, debit, credit)
"""
_RAW_UPDATE = """
    UPDATE ledger_accounts a SET posted_nano = a.posted_nano + v.by
    FROM unnest(%(account)s::uuid[], %(by)s::bigint[]) AS v (account, by) WHERE a.id = v.account
"""
_RAW_SINGLE = """
    WITH moved AS (
        INSERT INTO transfers (id, kind, debit_id, credit_id, amount_nano, created_at)
        VALUES (%(id)s, 'refund', %(debit)s, %(credit)s, 1, %(now)s) RETURNING debit_id, credit_id
    )
    UPDATE ledger_accounts a SET posted_nano = a.posted_nano + CASE WHEN a.id = m.debit_id THEN -1 ELSE 1 END
    FROM moved m WHERE a.id IN (m.debit_id, m.credit_id)
"""


def _raw_columns(ends: Sequence[tuple[UUID, UUID]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the raw statements are given: transfers, and balances netted per account."""
    by: dict[UUID, int] = {}
    for debit, credit in ends:
        by[debit] = by.get(debit, 0) - 1
        by[credit] = by.get(credit, 0) + 1
    accounts = sorted(by)
    return (
        {
            "id": [new_id() for _ in ends],
            "debit": [d for d, _ in ends],
            "credit": [c for _, c in ends],
            "now": utc_now(),
        },
        {"account": accounts, "by": [by[account] for account in accounts]},
    )
