"""Budgets, and what is used of them. Whoever counts holds the lock of the account's wallet."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.budgets import Budget, BudgetMode, BudgetPeriod
from backend.domain.ids import AccountId, BudgetId
from backend.domain.tiers import TierName
from backend.storage.rows import insert_rows, values_of
from backend.storage.tables import BudgetUseRow

# The start of a budget's period that a moment lies in: said here only, for counting, giving back and showing alike.
_LASTS = "b.period IN ('day', 'month')"
_UNIT = f"CASE WHEN {_LASTS} THEN b.period END"  # NULL, as all that is made of it, for requests and jobs
_SINCE = f"date_trunc({_UNIT}, CAST({{moment}} AS timestamptz), b.timezone)"
_UNTIL = f"(({_SINCE} AT TIME ZONE b.timezone) + ('1 ' || {_UNIT})::interval) AT TIME ZONE b.timezone"

_COLUMNS = "b.id, b.account_id, b.member_id, b.period, b.tier, b.limit_nano, b.mode, b.timezone"

_LIMITS = text(f"""
    SELECT s.account AS account, w.baseline_nano, w.since AS baseline_since, {_COLUMNS},
           p.since, p.until, coalesce(u.used_nano, 0) AS used_nano
    FROM unnest(CAST(:accounts AS uuid[])) AS s (account)
    LEFT JOIN wallet_baselines w ON w.account_id = s.account
    LEFT JOIN budgets b ON b.ended_at IS NULL AND (b.account_id IS NULL OR b.account_id = s.account)
        AND (b.tier IS NULL OR CAST(:tiers AS text[]) IS NULL OR b.tier = ANY(:tiers))
    LEFT JOIN LATERAL (
        SELECT {_SINCE.format(moment=":now")} AS since, {_UNTIL.format(moment=":now")} AS until
    ) p ON true
    LEFT JOIN budget_uses u ON u.budget_id = b.id AND u.account_id = s.account AND u.since = p.since
    ORDER BY s.account, b.id
""")

# Which budgets a hold counts for: its account's and everybody's, its spender's and all members', its tier's and all.
# One that has ended stays as it was: holds that came later were never counted there.
_COUNTS_FOR = f"""
    {_LASTS} AND b.ended_at IS NULL AND (b.account_id IS NULL OR b.account_id = a.owner_id)
    AND (b.member_id IS NULL OR b.member_id = h.spender_id) AND (b.tier IS NULL OR b.tier = h.tier)
"""

# Before the holds themselves are changed: what they set aside now against what they are about to. Those of a batch are
# alike for any budget, so they are added up before budgets are looked for.
_GIVE_BACK = text(f"""
    UPDATE budget_uses u SET used_nano = u.used_nano + changed.by_nano
    FROM (
        SELECT b.id, a.owner_id, {_SINCE.format(moment="h.created_at")} AS since, sum(h.by_nano)::bigint AS by_nano
        FROM (
            SELECT h.account_id, h.spender_id, h.tier, h.created_at,
                   sum(v.set_aside - (h.amount_nano - h.released_nano)) AS by_nano
            FROM unnest(CAST(:holds AS uuid[]), CAST(:set_aside AS bigint[])) AS v (id, set_aside)
            JOIN holds h ON h.id = v.id AND v.set_aside <> h.amount_nano - h.released_nano
            GROUP BY 1, 2, 3, 4
        ) h
        JOIN ledger_accounts a ON a.id = h.account_id AND a.kind = 'wallet'
        JOIN budgets b ON {_COUNTS_FOR}
        GROUP BY 1, 2, 3
    ) changed
    WHERE u.budget_id = changed.id AND u.account_id = changed.owner_id AND u.since = changed.since
""")

_USED = text(f"""
    INSERT INTO budget_uses (budget_id, account_id, since, used_nano)
    SELECT b.id, a.owner_id, {_SINCE.format(moment=":now")}, sum(h.amount_nano - h.released_nano)
    FROM budgets b JOIN ledger_accounts a ON a.kind = 'wallet'
    JOIN holds h ON h.account_id = a.id AND {_COUNTS_FOR} AND h.created_at >= {_SINCE.format(moment=":now")}
    WHERE b.id = :budget GROUP BY b.id, a.owner_id
    ON CONFLICT (budget_id, account_id, since) DO UPDATE SET used_nano = excluded.used_nano
""")


@dataclass(frozen=True, slots=True)
class Limits:
    """What an account is held to: its budgets, and what its wallet had when money last came in."""

    budgets: list[Budget]
    baseline_nano: int | None
    baseline_since: datetime | None


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """What an account has used of a budget in the period that began at `since`, in nano-credits."""

    budget_id: BudgetId
    account_id: AccountId
    since: datetime
    used_nano: int


class BudgetRepository:
    """Budgets that are in force, and what each account has used of them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def limits(
        self, accounts: Collection[AccountId], now: datetime, tiers: Collection[TierName] | None = None
    ) -> dict[AccountId, Limits]:
        """What each of these accounts is held to at `now`, market-wide and members' budgets included.

        With `tiers`, only budgets that count for one of them.
        """
        wanted = None if tiers is None else [str(tier) for tier in tiers]
        rows: Any = self._connection.execute(_LIMITS, {"accounts": list(accounts), "now": now, "tiers": wanted})
        found: dict[AccountId, Limits] = {}
        for row in rows:
            known = found.setdefault(row.account, Limits([], row.baseline_nano, row.baseline_since))
            if row.id is not None:
                known.budgets.append(_budget(row))
        return found

    def count(self, uses: Sequence[BudgetUse]) -> None:
        """Record what is used now."""
        insert_rows(
            self._connection,
            BudgetUseRow,
            [values_of(use) for use in uses],
            "ON CONFLICT (budget_id, account_id, since) DO UPDATE SET used_nano = excluded.used_nano",
        )

    def lock(self, budget: BudgetId) -> Budget | None:
        """A budget that has not ended, without its use, locked until the transaction ends."""
        row: Any = self._connection.execute(
            text(
                f"SELECT {_COLUMNS}, NULL AS since, NULL AS until, 0 AS used_nano FROM budgets b"
                f" WHERE b.id = :id AND b.ended_at IS NULL FOR UPDATE"
            ),
            {"id": budget},
        ).one_or_none()
        return _budget(row) if row else None

    def lock_like(self, wanted: Budget) -> Budget | None:
        """The open budget for the same account, member, period, tier and mode, locked until the transaction ends."""
        row: Any = self._connection.execute(
            text(
                f"SELECT {_COLUMNS}, NULL AS since, NULL AS until, 0 AS used_nano FROM budgets b"
                f" WHERE b.ended_at IS NULL AND b.account_id IS NOT DISTINCT FROM :account_id"
                f" AND b.member_id IS NOT DISTINCT FROM :member_id AND b.period = :period"
                f" AND b.tier IS NOT DISTINCT FROM :tier AND b.mode = :mode FOR UPDATE"
            ),
            {
                "account_id": wanted.account_id,
                "member_id": wanted.member_id,
                "period": str(wanted.period),
                "tier": wanted.tier and str(wanted.tier),
                "mode": str(wanted.mode),
            },
        ).one_or_none()
        return _budget(row) if row else None

    def put(self, budget: Budget, now: datetime) -> None:
        """Record a budget, or another limit for one that there is."""
        self._connection.execute(
            text(
                "INSERT INTO budgets (id, account_id, member_id, period, tier, limit_nano, mode, timezone, created_at)"
                " VALUES (:id, :account_id, :member_id, :period, :tier, :limit_nano, :mode, :timezone, :now)"
                " ON CONFLICT (id) DO UPDATE SET limit_nano = excluded.limit_nano"
            ),
            {
                "id": budget.id,
                "account_id": budget.account_id,
                "member_id": budget.member_id,
                "period": str(budget.period),
                "tier": budget.tier and str(budget.tier),
                "limit_nano": budget.limit_nano,
                "mode": str(budget.mode),
                "timezone": budget.timezone,
                "now": now,
            },
        )

    def end(self, budget: BudgetId, now: datetime) -> None:
        """Let a budget limit nothing any more."""
        self._connection.execute(
            text("UPDATE budgets SET ended_at = :now WHERE id = :id AND ended_at IS NULL"), {"id": budget, "now": now}
        )

    def knows_timezone(self, name: str) -> bool:
        """Whether the database can count in a time zone."""
        return bool(
            self._connection.execute(
                text("SELECT EXISTS (SELECT 1 FROM pg_timezone_names WHERE name = :name)"), {"name": name}
            ).scalar_one()
        )

    def recount(self, budget: BudgetId, now: datetime) -> None:
        """Count for a new budget what was set aside in its current period before there was one."""
        self._connection.execute(_USED, {"budget": budget, "now": now})

    def set_baseline(self, account: AccountId, nano: int, now: datetime) -> None:
        """Remember what a wallet has now that money came in."""
        self._connection.execute(
            text(
                "INSERT INTO wallet_baselines (account_id, baseline_nano, since) VALUES (:account, :nano, :now)"
                " ON CONFLICT (account_id) DO UPDATE SET baseline_nano = :nano, since = :now"
            ),
            {"account": account, "nano": nano, "now": now},
        )


def give_back(connection: Connection, set_aside: Sequence[tuple[object, int]]) -> None:
    """Tell the budgets what holds, still unchanged, will set aside from now on."""
    connection.execute(
        _GIVE_BACK, {"holds": [hold for hold, _ in set_aside], "set_aside": [nano for _, nano in set_aside]}
    )


def _budget(row: Any) -> Budget:
    return Budget(
        BudgetId(row.id),
        row.account_id,
        row.member_id,
        BudgetPeriod(row.period),
        row.tier and TierName(row.tier),
        row.limit_nano,
        BudgetMode(row.mode),
        row.timezone,
        row.since,
        row.until,
        row.used_nano,
    )
