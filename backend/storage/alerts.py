"""Alerts: thresholds that were gone over, each recorded once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.alerts import AlertKind
from backend.domain.ids import AccountId, AlertId, BudgetId


@dataclass(frozen=True, slots=True)
class Alert:
    """A threshold, in percent, that an account's use of a limit in nano-credits went over."""

    id: AlertId
    kind: AlertKind
    subject_id: BudgetId | AccountId
    account_id: AccountId
    since: datetime
    percent: int
    limit_nano: int
    used_nano: int
    created_at: datetime


_COLUMNS = ", ".join(Alert.__dataclass_fields__)


class AlertRepository:
    """Alerts; the database keeps each threshold of a subject and period from being told twice."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, alerts: Sequence[Alert]) -> list[Alert]:
        """Record thresholds gone over; returns those that had not been told yet."""
        if not alerts:
            return []
        known: Any = self._connection.execute(
            text(
                f"INSERT INTO alerts ({_COLUMNS})"
                " SELECT * FROM unnest(CAST(:id AS uuid[]), CAST(:kind AS text[]), CAST(:subject_id AS uuid[]),"
                " CAST(:account_id AS uuid[]), CAST(:since AS timestamptz[]), CAST(:percent AS int[]),"
                " CAST(:limit_nano AS bigint[]), CAST(:used_nano AS bigint[]), CAST(:created_at AS timestamptz[]))"
                " ON CONFLICT DO NOTHING RETURNING id"
            ),
            {name: [getattr(alert, name) for alert in alerts] for name in Alert.__dataclass_fields__},
        )
        new = {row.id for row in known}
        return [alert for alert in alerts if alert.id in new]

    def newest(self, account: AccountId | None, limit: int, before: AlertId | None) -> list[Alert]:
        """The newest alerts of an account (None: of everybody), older than `before`."""
        rows: Any = self._connection.execute(
            text(
                f"SELECT {_COLUMNS} FROM alerts"
                " WHERE (CAST(:account AS uuid) IS NULL OR account_id = :account)"
                " AND (CAST(:before AS uuid) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit"
            ),
            {"account": account, "before": before, "limit": limit},
        )
        return [Alert(*row) for row in rows]
