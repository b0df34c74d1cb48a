"""Who may do what: every route states its least role by one of the types at the end."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from backend.api.dependencies import gateway_of
from backend.domain.access import Principal, Role
from backend.domain.errors import NotFound
from backend.domain.ids import AccountId
from backend.gateway.callers import reader
from backend.gateway.gateway import Gateway

_bearer = HTTPBearer(auto_error=False, description="An API key: `Authorization: Bearer swx_…`")


async def _caller(
    request: Request,
    gateway: Annotated[Gateway, Depends(gateway_of)],
    _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],  # for the schema
) -> Principal:
    return await reader(gateway.keys, gateway.rates, request)


class AtLeast:
    """A dependency that lets callers of a role and above through; tests read `role` off each route."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, principal: Annotated[Principal, Depends(_caller)]) -> Principal:
        """The caller; raises Unauthenticated or Forbidden."""
        principal.require(self.role)
        return principal


Admin = Annotated[Principal, Depends(AtLeast(Role.ADMIN))]
Provider = Annotated[Principal, Depends(AtLeast(Role.PROVIDER))]
Anyone = Annotated[Principal, Depends(AtLeast(Role.USER))]


def account_of(principal: Principal, account: UUID | None, field: str = "account") -> AccountId:
    """The account that a request is about: the caller's own, or for admins the one named.

    Another's account looks exactly like one that does not exist.
    """
    if account is None or account == principal.account_id:
        return principal.account_id
    if principal.role is not Role.ADMIN:
        raise NotFound("account", account, field=field)
    return AccountId(account)


def role_at_most(principal: Principal, role: str) -> str:
    """`role` if the caller may give it to a key: nobody makes a key that may do more than their own."""
    if role in [r.value for r in Role]:  # what is no role at all is the service's to refuse
        principal.require(Role(role))
    return role
