"""Organisations: accounts with members, who share its wallet and its budgets."""

from collections.abc import Mapping
from enum import StrEnum

from backend.domain.errors import Conflict, Forbidden, NotFound
from backend.domain.ids import AccountId

MEMBERS_MAX = 1_000


class AccountType(StrEnum):
    """Who an account belongs to."""

    PERSON = "person"
    ORGANISATION = "organisation"


class MemberRole(StrEnum):
    """Owners manage members, keys and budgets; members spend."""

    OWNER = "owner"
    MEMBER = "member"


def check_belongs(organisation: AccountId, role: MemberRole | None) -> None:
    """Let members through; to everybody else the organisation does not exist."""
    if role is None:
        raise NotFound("account", organisation)


def check_manager(organisation: AccountId, role: MemberRole | None) -> None:
    """Let owners through; to who is no member at all the organisation does not exist."""
    check_belongs(organisation, role)
    if role is not MemberRole.OWNER:
        raise Forbidden("this needs an owner of the organisation", code="owner_needed", field="role", accepted="owner")


def check_owner_stays(members: Mapping[AccountId, MemberRole], leaving: AccountId) -> None:
    """Raise Conflict(`last_owner`) if nobody could manage the organisation without this member."""
    owners = {member for member, role in members.items() if role is MemberRole.OWNER}
    if owners == {leaving}:
        raise Conflict(
            "an organisation keeps at least one owner",
            code="last_owner",
            field="member",
            accepted="a member who is not the last owner; make somebody else an owner first",
        )


def check_room(members: int) -> None:
    """Raise Conflict(`too_many_members`) if an organisation is full."""
    if members >= MEMBERS_MAX:
        raise Conflict(
            f"the organisation has {members} members",
            code="too_many_members",
            field="member",
            accepted=f"at most {MEMBERS_MAX} members",
        )
