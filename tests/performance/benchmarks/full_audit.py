"""Transfers a second that a full audit looks at, with their holds, orders and budgets, and the memory that it takes."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import psycopg

from backend.services import audit
from tests.market import Market
from tests.performance.bench import Bench
from tests.performance.rows import Row, Target
from tests.performance.servers import libpq

ACCOUNTS = 10_000
FEW, MANY = 105_000, 1_050_000  # orders; of 20, 19 have a charge and a fee, and one still holds its money
SAMPLE_EVERY_S = 0.005
PLAIN = "transfers/s, one GROUP BY of both sides of the transfers, nothing compared"


def run(bench: Bench) -> Iterator[Row]:
    """The same books ten times smaller first, to see whether memory grows with them."""
    with bench.market() as market, psycopg.connect(libpq(market.app.database_url), autocommit=True) as connection:
        _prepare(connection)
        _fill(connection, FEW)
        few = _memory_of_an_audit(market, connection)
        bench.step()
        _fill(connection, MANY - FEW)
        bench.step()
        many = _memory_of_an_audit(market, connection)
        [(count,)] = connection.execute("SELECT count(*) FROM transfers").fetchall()
        transfers = int(count)

        def ours() -> float:
            started = time.perf_counter()
            report = audit.audit_ledger(market.app.uow())
            assert (report.ok, report.transfers) == (True, transfers), report
            return transfers / (time.perf_counter() - started)

        def plain() -> float:
            started = time.perf_counter()
            connection.execute(_PLAIN).fetchall()
            return transfers / (time.perf_counter() - started)

        pairs = bench.pairs(ours, plain)
        target = Target("value", "≥", 2_000_000)
        yield Row("full_audit", pairs.value, "transfers/s", PLAIN, pairs.reference_value, pairs.ratio, target)
        yield Row("full_audit_memory", many, "MB", "with a tenth of it", few, many / few, Target("ratio", "≤", 1.25))


def _memory_of_an_audit(market: Market, connection: psycopg.Connection) -> float:
    """Megabytes that the server's processes have of their own at most during an audit, above what they had before."""
    server = psutil.Process(connection.info.backend_pid).parent()
    assert server is not None
    market.app.engine.dispose()  # a backend that has grown before would hide what this audit needs
    with Peak(server) as peak:
        assert audit.audit_ledger(market.app.uow()).ok
    return peak.bytes / 1e6


@dataclass
class Peak:
    """The most private memory that all processes of a server have together while this is entered."""

    server: psutil.Process
    bytes: int = 0

    def __enter__(self) -> Self:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_EVERY_S):
            self.bytes = max(self.bytes, sum(_private_bytes(child.pid) for child in self.server.children()))


def _private_bytes(pid: int) -> int:
    """What is not shared with others, as the buffers of the database are."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def _prepare(connection: psycopg.Connection) -> None:
    """Accounts with money, and none of the keys that only cost time when rows come by the million."""
    for table in ("transfers", "holds", "orders"):
        keys = connection.execute(
            "SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname) FROM pg_constraint"
            " WHERE conrelid = %(table)s::text::regclass AND contype = 'f' UNION ALL"
            " SELECT format('DROP INDEX %%I', indexname) FROM pg_indexes WHERE tablename = %(table)s"
            " AND indexname !~ '^pk_|_reversed$|_replaced$'",
            {"table": table},
        ).fetchall()
        for (drop,) in keys:
            connection.execute(drop)
    connection.execute(_ACCOUNTS, {"accounts": ACCOUNTS})


def _fill(connection: psycopg.Connection, orders: int) -> None:
    for statement in _FILL:
        connection.execute(statement, {"orders": orders, "accounts": ACCOUNTS} if "%(" in statement else None)
    connection.execute("VACUUM ANALYZE")


_PLAIN = """
    SELECT account_id, sum(amount) FROM (
        SELECT credit_id AS account_id, amount_nano AS amount FROM transfers
        UNION ALL SELECT debit_id, -amount_nano FROM transfers
    ) entries GROUP BY account_id
"""
_ACCOUNTS = """
    WITH owner AS (
        INSERT INTO accounts (id, name, created_at)
        SELECT uuidv7(), 'trader-' || n, now() FROM generate_series(1, %(accounts)s) n RETURNING id
    ), account AS (
        INSERT INTO ledger_accounts (id, owner_id, kind)
        SELECT uuidv7(), owner.id, kind FROM owner, (VALUES ('wallet'), ('earnings')) k (kind) RETURNING id, kind
    )
    INSERT INTO transfers (id, kind, debit_id, credit_id, amount_nano, reference, created_at)
    SELECT uuidv7(), 'deposit', world.id, account.id, 1000000000000, account.id::text, now()
    FROM account, ledger_accounts world WHERE account.kind = 'wallet' AND world.kind = 'world'
"""
_FILL = (
    """
    CREATE TEMPORARY TABLE trader AS
    SELECT w.id AS wallet_id, e.id AS earning_id, w.owner_id, row_number() OVER (ORDER BY w.id) AS number
    FROM ledger_accounts w JOIN ledger_accounts e ON e.owner_id = w.owner_id AND e.kind = 'earnings'
    JOIN accounts a ON a.id = w.owner_id WHERE w.kind = 'wallet' AND a.name LIKE 'trader-%'
    """,
    "ANALYZE trader",  # without it the next statement compares each order with each trader
    """
    CREATE TEMPORARY TABLE made AS
    SELECT uuidv7() AS hold_id, uuidv7() AS order_id, buyer.wallet_id, buyer.owner_id, seller.earning_id,
           CASE WHEN n %% 20 > 0 THEN 600000 + n %% 1000 ELSE 0 END AS charged
    FROM generate_series(1, %(orders)s) n
    JOIN trader buyer ON buyer.number = n %% %(accounts)s + 1
    JOIN trader seller ON seller.number = n::bigint * 7 %% %(accounts)s + 1
    """,
    """
    INSERT INTO holds (id, account_id, tier, amount_nano, captured_nano, released_nano, state, expires_at, created_at)
    SELECT hold_id, wallet_id, 'medium', 1000000, charged, CASE WHEN charged > 0 THEN 1000000 - charged ELSE 0 END,
           CASE WHEN charged > 0 THEN 'posted' ELSE 'pending' END, now(), now() FROM made
    """,
    """
    INSERT INTO orders (id, account_id, workload, model_id, tier, strategy, resource_class, region, markets, slots,
        limit_nano_per_slot_s, worst_case_nano, fee_ppm, hold_id, state, charged_nano, placed_at, deadline_at)
    SELECT order_id, owner_id, 'inference', models.id, 'medium', 'balanced', 'cloud', 'north', '["cloud/north"]', 1,
           1000, 1000000, 40000, hold_id, 'settled', charged, now(), now() FROM made, models
    """,
    """
    INSERT INTO transfers (id, kind, debit_id, credit_id, amount_nano, hold_id, order_id, created_at)
    SELECT uuidv7(), part.kind, wallet_id, coalesce(part.credit_id, earning_id),
           CASE part.kind WHEN 'fee' THEN 30000 ELSE charged - 30000 END, hold_id, order_id, now()
    FROM made, (
        SELECT 'charge' AS kind, NULL::uuid AS credit_id
        UNION ALL SELECT 'fee', id FROM ledger_accounts WHERE kind = 'fees'
    ) part WHERE charged > 0
    """,
    "DROP TABLE made, trader",
    f"""
    UPDATE ledger_accounts a SET posted_nano = moved.sum FROM ({_PLAIN}) moved WHERE moved.account_id = a.id
    """,
    """
    UPDATE ledger_accounts a SET reserved_nano = held.sum FROM (
        SELECT account_id, sum(amount_nano) FROM holds WHERE state = 'pending' GROUP BY account_id
    ) held WHERE held.account_id = a.id
    """,
    """
    INSERT INTO budget_uses (budget_id, account_id, since, used_nano)
    SELECT b.id, a.owner_id, date_trunc('month', now(), 'UTC'), sum(h.amount_nano - h.released_nano)
    FROM holds h JOIN ledger_accounts a ON a.id = h.account_id JOIN budgets b ON b.tier = h.tier
    GROUP BY b.id, a.owner_id
    ON CONFLICT (budget_id, account_id, since) DO UPDATE SET used_nano = excluded.used_nano
    """,
)
