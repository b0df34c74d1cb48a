"""Statements of what a provider earned."""

from backend.domain.access import Principal
from backend.domain.earnings import EarningsStatement
from backend.domain.ids import AccountId
from backend.domain.periods import Period
from backend.services.accounts import find_account
from backend.storage.unit_of_work import UnitOfWork


def statement(uow: UnitOfWork, principal: Principal, account_id: AccountId, period: Period) -> EarningsStatement:
    """What the caller's (admins: anybody's) earnings did in a period, between two balances; raises NotFound."""
    principal.require_owner(account_id, "account", account_id)
    with uow:
        find_account(uow, account_id)
        return uow.earnings.statement(account_id, period)
