"""Budgets as people set and watch them; they are enforced where money is set aside, in `escrow`."""

from dataclasses import dataclass, replace
from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.budgets import Budget, BudgetMode, BudgetPeriod
from backend.domain.errors import Forbidden, Invalid, NotFound, unknown_choice
from backend.domain.ids import AccountId, BudgetId
from backend.domain.money import AMOUNT_NANO_MAX
from backend.domain.periods import unknown_timezone
from backend.domain.tiers import parse_tier
from backend.services.accounts import find_account
from backend.services.log import record
from backend.services.managing import check_manages
from backend.storage.ids import new_id
from backend.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class BudgetWish:
    """A budget as somebody asks for it; amounts in nano-credits, the time zone by its IANA name."""

    period: str
    limit_nano: int
    tier: str | None = None
    member: AccountId | None = None
    mode: str = BudgetMode.HARD
    timezone: str = "UTC"


def set_budget(
    uow: UnitOfWork, now: datetime, principal: Principal, account: AccountId | None, wish: BudgetWish
) -> Budget:
    """Limit an account (None, for admins: every account by itself); what is set aside in its period counts at once.

    A budget for the same period, tier, member and mode gets the new limit, or, of another time zone, ends.
    Raises NotFound, Forbidden or Invalid; a tier's monthly cap (`budget_of_tier`) is changed with the tier.
    """
    wanted = _read(account, wish)
    with uow:
        _check_may(uow, principal, account)
        _check_no_tiers_cap(wanted)
        if wish.member is not None and (account is None or uow.organisations.role_of(account, wish.member) is None):
            raise NotFound("member", wish.member, accepted="a member of the organisation")
        if not uow.budgets.knows_timezone(wish.timezone):
            raise unknown_timezone(wish.timezone)
        if account is None:
            uow.ledger.lock_wallets()
        else:
            uow.ledger.lock(wallets_of=[account])
        before = uow.budgets.lock_like(wanted)
        if before and before.timezone != wanted.timezone:  # other days: what was counted by the old ones stays theirs
            uow.budgets.end(before.id, now)
            record(uow, now, principal, "budget.end", f"budget {before.id}", limit_nano=before.limit_nano)
        elif before:
            wanted = replace(wanted, id=before.id)
        budget = wanted
        uow.budgets.put(budget, now)
        if budget.period.lasts:
            uow.budgets.recount(budget.id, now)
        record(
            uow,
            now,
            principal,
            "budget.set",
            f"budget {budget.id}",
            account=account and str(account),
            member=wish.member and str(wish.member),
            period=wish.period,
            tier=wish.tier,
            mode=str(wish.mode),
            timezone=wish.timezone,
            limit_nano=wish.limit_nano,
            before_nano=before and before.limit_nano,
        )
        made = _with_use(uow, now, account, budget)
        uow.commit()
    return made


def list_budgets(uow: UnitOfWork, now: datetime, account: AccountId) -> list[Budget]:
    """What an account is held to now, its members' and everybody's budgets included, with what is used."""
    with uow:
        return budgets_of(uow, now, account)


def budgets_of(uow: UnitOfWork, now: datetime, account: AccountId) -> list[Budget]:
    """The same inside an open unit of work: the account's own first, the shortest period first."""
    found = uow.budgets.limits([account], now)[account].budgets
    return sorted(found, key=lambda b: (b.account_id is None, list(BudgetPeriod).index(b.period), b.id))


def end_budget(uow: UnitOfWork, now: datetime, principal: Principal, budget_id: BudgetId) -> Budget:
    """Let a budget limit nothing any more; returns it as it was. Raises NotFound, Forbidden or Invalid."""
    with uow:
        budget = uow.budgets.lock(budget_id)
        if budget is None:
            raise NotFound("budget", budget_id)
        try:
            _check_may(uow, principal, budget.account_id)
        except NotFound:
            raise NotFound("budget", budget_id) from None
        _check_no_tiers_cap(budget)
        ended = _with_use(uow, now, budget.account_id, budget)
        uow.budgets.end(budget_id, now)
        record(uow, now, principal, "budget.end", f"budget {budget_id}", limit_nano=budget.limit_nano)
        uow.commit()
    return ended


def _read(account: AccountId | None, wish: BudgetWish) -> Budget:
    if wish.period not in [period.value for period in BudgetPeriod]:
        raise unknown_choice("period", wish.period, [period.value for period in BudgetPeriod])
    if wish.mode not in [mode.value for mode in BudgetMode]:
        raise unknown_choice("mode", wish.mode, [mode.value for mode in BudgetMode])
    if not 0 <= wish.limit_nano <= AMOUNT_NANO_MAX:
        raise Invalid("the limit cannot be used", code="invalid_amount", field="amount", accepted="0 or more credits")
    return Budget(
        BudgetId(new_id()),
        account,
        wish.member,
        BudgetPeriod(wish.period),
        parse_tier(wish.tier) if wish.tier else None,
        wish.limit_nano,
        BudgetMode(wish.mode),
        wish.timezone,
    )


def _check_may(uow: UnitOfWork, principal: Principal, account: AccountId | None) -> None:
    if account is not None:
        check_manages(uow, principal, account)
        find_account(uow, account)
    elif principal.role is not Role.ADMIN:
        raise Forbidden("everybody's budgets are the operator's", field="account", accepted="your own account")


def _check_no_tiers_cap(budget: Budget) -> None:
    """The budget that is a tier's monthly cap is changed where the tier is, so that both always say the same."""
    if (budget.account_id, budget.period, budget.mode) == (None, BudgetPeriod.MONTH, BudgetMode.HARD) and budget.tier:
        raise Invalid(
            f"this budget is the monthly cap of tier {budget.tier}",
            code="budget_of_tier",
            field="tier",
            accepted=f"`swarmex tier set {budget.tier} --month-cap …`, or month_cap at /api/v1/tiers/{budget.tier}",
        )


def _with_use(uow: UnitOfWork, now: datetime, account: AccountId | None, budget: Budget) -> Budget:
    if account is None:
        return budget
    return next((b for b in uow.budgets.limits([account], now)[account].budgets if b.id == budget.id), budget)
