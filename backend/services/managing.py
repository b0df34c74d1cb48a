"""Who manages an account: itself, the owners of an organisation, and admins."""

from backend.domain.access import Principal, Role
from backend.domain.ids import AccountId
from backend.domain.organisations import check_manager
from backend.storage.unit_of_work import UnitOfWork


def check_manages(uow: UnitOfWork, principal: Principal, account: AccountId) -> None:
    """Let through who manages an account, inside an open unit of work.

    Raises NotFound for somebody else's account, Forbidden(`owner_needed`) for members who are not owners.
    """
    if principal.role is Role.ADMIN or (principal.account_id == account and principal.member_id is None):
        return
    check_manager(account, uow.organisations.role_of(account, principal.actor))
