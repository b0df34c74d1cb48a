"""Alerts: thresholds that the use of a budget or a wallet goes over, each told once."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from backend.domain.alerts import AlertKind
from backend.domain.budgets import Tally, crossed
from backend.domain.errors import Invalid
from backend.domain.events import Event, Topic
from backend.domain.ids import AccountId, AlertId
from backend.domain.ledger import Applied
from backend.storage.alerts import Alert
from backend.storage.budgets import Limits
from backend.storage.ids import new_id
from backend.storage.ledger import LockedAccounts
from backend.storage.unit_of_work import UnitOfWork

ALERTS_MAX = 500


def of_budgets(tallies: Mapping[AccountId, Tally], now: datetime) -> list[Alert]:
    """Alerts of the budgets whose use has just gone over a threshold."""
    return [
        Alert(
            AlertId(new_id()),
            AlertKind.BUDGET,
            crossing.budget.id,
            account,
            crossing.budget.since or now,
            crossing.percent,
            crossing.budget.limit_nano,
            crossing.used_nano,
            now,
        )
        for account, tally in tallies.items()
        for crossing in tally.crossings()
    ]


def of_wallets(
    limits: Mapping[AccountId, Limits], locked: LockedAccounts, applied: Applied, now: datetime
) -> list[Alert]:
    """Alerts of wallets; their thresholds are parts of what they had when money last came in."""
    after = {balance.account: balance.available_nano for balance in applied.balances}
    return [
        alert
        for account, wallet in locked.wallets.items()
        if wallet in after
        for alert in _of_wallet(account, limits[account], locked.balances[wallet].available_nano, after[wallet], now)
    ]


def _of_wallet(account: AccountId, limits: Limits, before_nano: int, after_nano: int, now: datetime) -> list[Alert]:
    full, since = limits.baseline_nano, limits.baseline_since
    if not full or since is None:
        return []
    return [
        Alert(AlertId(new_id()), AlertKind.WALLET, account, account, since, percent, full, full - after_nano, now)
        for percent in crossed(full - before_nano, full - after_nano, full)
    ]


def tell(uow: UnitOfWork, alerts: Sequence[Alert]) -> None:
    """Record alerts, inside an open unit of work, and announce those that had not been told before."""
    for alert in uow.alerts.add(alerts):
        uow.emit(Event(Topic.FUNDS_ALERT, str(alert.account_id)))


def list_alerts(
    uow: UnitOfWork, account: AccountId | None, limit: int = 100, before: AlertId | None = None
) -> list[Alert]:
    """The newest alerts of an account, or of everybody, those older than `before`."""
    if not 1 <= limit <= ALERTS_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {ALERTS_MAX}")
    with uow:
        return uow.alerts.newest(account, limit, before)
