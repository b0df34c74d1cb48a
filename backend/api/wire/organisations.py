"""Organisations on the wire."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.accounts import Account
from backend.api.wire.base import Answer, Id, Text, Wire
from backend.api.wire.budgets import Budget
from backend.domain.organisations import MemberRole
from backend.services.organisations import Organisation as ShownOrganisation
from backend.storage.organisations import Member as StoredMember
from backend.storage.organisations import Membership as StoredMembership

Role = Annotated[Text, Field(json_schema_extra={"enum": [role.value for role in MemberRole]})]


class NewOrganisation(Wire):
    """An organisation to found; the caller becomes its owner."""

    name: Text = Field(examples=["lab"])


class NewMember(Wire):
    """A person to take in, or to give another role."""

    member: Id
    role: Role = "member"


class MemberKeyRequest(Wire):
    """A key with which a member spends for the organisation; without a member, the caller's own."""

    member: Id | None = None
    label: Text | None = None


class Member(Answer):
    """A person in an organisation."""

    account: UUID
    name: str
    role: str
    joined_at: datetime

    @classmethod
    def of(cls, member: StoredMember) -> Self:
        """The wire form of a member."""
        return cls(account=member.account_id, name=member.name, role=member.role, joined_at=member.joined_at)


class Membership(Answer):
    """An organisation that the caller belongs to, and as what."""

    organisation: UUID
    name: str
    role: str

    @classmethod
    def of(cls, membership: StoredMembership) -> Self:
        """The wire form of a membership."""
        return cls(organisation=membership.organisation_id, name=membership.name, role=membership.role)


class Organisation(Answer):
    """An organisation: an account that its members share."""

    account: Account
    members: list[Member]
    budgets: list[Budget]

    @classmethod
    def of(cls, shown: ShownOrganisation) -> Self:
        """The wire form of an organisation."""
        return cls(
            account=Account.of(shown.account),
            members=[Member.of(member) for member in shown.members],
            budgets=[Budget.of(budget) for budget in shown.budgets],
        )
