"""Who manages an account: itself, the owners of an organisation, and admins; and who still belongs to one."""

from backend.domain.access import Principal, Role
from backend.domain.ids import AccountId
from backend.domain.organisations import check_belongs, check_manager
from backend.storage.unit_of_work import UnitOfWork


def check_manages(uow: UnitOfWork, principal: Principal, account: AccountId) -> None:
    """Let through who manages an account, inside an open unit of work.

    Raises NotFound for somebody else's account, Forbidden(`owner_needed`) for members who are not owners.
    """
    if principal.role is Role.ADMIN or (principal.account_id == account and principal.member_id is None):
        return
    check_manager(account, uow.organisations.role_of(account, principal.actor))


def check_still_belongs(uow: UnitOfWork, principal: Principal) -> None:
    """Let through who acts for the own account, or for an organisation as its member, and keep members as they are
    until the caller's transaction ends: a key is remembered for a moment after it was revoked. Raises NotFound.
    """
    if principal.member_id is not None:
        uow.organisations.lock(principal.account_id)
        check_belongs(principal.account_id, uow.organisations.role_of(principal.account_id, principal.member_id))
