"""The tiers: read by anyone, changed by admins from a moment on; what is placed keeps its own terms."""

from dataclasses import replace
from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.budgets import Budget, BudgetMode, BudgetPeriod
from backend.domain.ids import BudgetId
from backend.domain.tier_changes import TierChanges, revise
from backend.domain.tiers import Tier, TierVersion, parse_tier, versions_at
from backend.services import log
from backend.storage.contention import patient
from backend.storage.ids import new_id
from backend.storage.unit_of_work import UnitOfWork


def list_tiers(uow: UnitOfWork, now: datetime) -> list[TierVersion]:
    """Each tier's version that counts at `now`, the smallest first."""
    with uow:
        return list(versions_at(uow.tiers.versions(), now).values())


def list_with_fees(uow: UnitOfWork, now: datetime) -> list[tuple[TierVersion, int]]:
    """Each tier as it is at `now`, with its fee then in parts per million."""
    with uow:
        fees = uow.fees.current(now)
        return [(version, fees[name]) for name, version in versions_at(uow.tiers.versions(), now).items()]


def list_versions(uow: UnitOfWork, tier: str) -> list[TierVersion]:
    """Every version of a tier, also those that are over or still to come; raises Invalid(`invalid_tier`)."""
    name = parse_tier(tier)
    with uow:
        return uow.tiers.versions(name)


@patient
def set_tier(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    tier: str,
    changes: TierChanges,
    valid_from: datetime | None = None,
) -> TierVersion:
    """Change a tier from a moment on, now if none is named; a monthly cap changes now, and everybody's budget with it.

    Raises Forbidden, or Invalid for a tier, setting or time that cannot be.
    """
    principal.require(Role.ADMIN)
    name = parse_tier(tier)
    with uow:
        if changes.month_cap_nano is not None:
            uow.ledger.lock_wallets()
        made = revise(uow.tiers.lock_latest(), name, changes, valid_from, now)
        uow.tiers.add(made)
        version = made[0]
        capped = changes.month_cap_nano is not None and _cap_months(uow, now, version.tier)
        log.record(
            uow,
            now,
            principal,
            "tier.set",
            f"tier {name}",
            version=version.version,
            valid_from=version.valid_from,
            changes=changes.given(),
            made_again=[again.version for again in made[1:]],
            budget=capped or None,
        )
        uow.commit()
    return version


def _cap_months(uow: UnitOfWork, now: datetime, tier: Tier) -> str:
    """Hold each account to the tier's monthly cap; returns the budget's id. The wallets are locked."""
    cap = Budget(
        BudgetId(new_id()), None, None, BudgetPeriod.MONTH, tier.name, tier.month_cap_nano, BudgetMode.HARD, "UTC"
    )
    before = uow.budgets.lock_like(cap)
    budget = replace(before, limit_nano=tier.month_cap_nano) if before else cap
    uow.budgets.put(budget, now)
    if before is None:
        uow.budgets.recount(budget.id, now)
    return str(budget.id)
