"""Organisations: founded by anybody, managed by their owners."""

from uuid import UUID

from fastapi import APIRouter

from backend.api.dependencies import Market, Now
from backend.api.security import Anyone
from backend.api.wire.api_keys import CreatedKey
from backend.api.wire.organisations import MemberKeyRequest, Membership, NewMember, NewOrganisation, Organisation
from backend.domain.access import Role
from backend.services import organisations

router = APIRouter(prefix="/api/v1/organisations", tags=["organisations"])


@router.post("", status_code=201)
def create_organisation(body: NewOrganisation, caller: Anyone, market: Market, now: Now) -> Organisation:
    """Found an organisation with a wallet and budgets of its own; the caller is its first owner."""
    return Organisation.of(organisations.create_organisation(market.uow(), now, caller, body.name))


@router.get("")
def list_organisations(caller: Anyone, market: Market) -> list[Membership]:
    """The caller's organisations; to admins, all."""
    person = None if caller.role is Role.ADMIN else caller.actor
    return [Membership.of(found) for found in organisations.list_organisations(market.uow(), person)]


@router.get("/{organisation_id}")
def show_organisation(organisation_id: UUID, caller: Anyone, market: Market, now: Now) -> Organisation:
    """An organisation with its money, members and budgets, for those who belong to it."""
    return Organisation.of(organisations.show_organisation(market.uow(), now, caller, organisation_id))


@router.post("/{organisation_id}/members", status_code=201)
def put_member(organisation_id: UUID, body: NewMember, caller: Anyone, market: Market, now: Now) -> Organisation:
    """Take a person in, or change their role; owners only."""
    changed = organisations.put_member(market.uow(), now, caller, organisation_id, body.member, body.role)
    return Organisation.of(changed)


@router.delete("/{organisation_id}/members/{member_id}")
def remove_member(organisation_id: UUID, member_id: UUID, caller: Anyone, market: Market, now: Now) -> Organisation:
    """End a membership; the member's keys of the organisation open nothing from then on."""
    return Organisation.of(organisations.remove_member(market.uow(), now, caller, organisation_id, member_id))


@router.post("/{organisation_id}/keys", status_code=201)
def create_member_key(
    organisation_id: UUID, body: MemberKeyRequest, caller: Anyone, market: Market, now: Now
) -> CreatedKey:
    """A key with which a member spends from the organisation's wallet, under its budgets."""
    member = body.member or caller.actor
    made = organisations.create_member_key(market.uow(), now, caller, organisation_id, member, body.label or "")
    return CreatedKey.of(made)
