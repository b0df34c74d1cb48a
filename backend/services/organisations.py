"""Organisations: founded by a person, managed by their owners, spent for by their members."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from backend.domain.access import Principal, Role
from backend.domain.budgets import Budget
from backend.domain.errors import Invalid, NotFound, unknown_choice
from backend.domain.events import Event, Topic
from backend.domain.ids import AccountId
from backend.domain.organisations import (
    AccountType,
    MemberRole,
    check_owner_stays,
    check_room,
)
from backend.services.accounts import AccountView, find_account, open_account, view_of
from backend.services.api_keys import CHANGED_KEYS, NewKey, make_key
from backend.services.batches import cancel_batches_of
from backend.services.budgets import budgets_of
from backend.services.log import record
from backend.services.managing import check_manages
from backend.services.training_jobs import cancel_jobs_of
from backend.storage.accounts import Account
from backend.storage.organisations import Member, Membership
from backend.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Organisation:
    """An organisation with its money, its members, and what it is held to."""

    account: AccountView
    members: list[Member]
    budgets: list[Budget]


def create_organisation(uow: UnitOfWork, now: datetime, principal: Principal, name: str) -> Organisation:
    """Found an organisation, whose first owner is the caller; raises Conflict(`account_exists`)."""
    with uow:
        _person(uow, principal.actor)
        account = open_account(uow, now, name, AccountType.ORGANISATION)
        uow.organisations.put(account.id, principal.actor, MemberRole.OWNER, now)
        record(uow, now, principal, "organisation.create", f"account {account.id}", name=name)
        made = _shown(uow, now, account)
        uow.commit()
    return made


def show_organisation(uow: UnitOfWork, now: datetime, principal: Principal, organisation: UUID | str) -> Organisation:
    """An organisation of the caller's (admins: any); raises NotFound."""
    with uow:
        return _shown(uow, now, _organisation(uow, principal, organisation))


def list_organisations(uow: UnitOfWork, account: AccountId | None) -> list[Membership]:
    """The organisations of a person, or all."""
    with uow:
        return uow.organisations.of_account(account)


def list_members(uow: UnitOfWork, account: AccountId) -> list[Member]:
    """Who belongs to an account, by name: nobody unless it is an organisation."""
    with uow:
        return uow.organisations.members(account)


def put_member(
    uow: UnitOfWork, now: datetime, principal: Principal, organisation: UUID | str, person: UUID | str, role: str
) -> Organisation:
    """Make a person a member, or change what they are; raises Conflict(`last_owner`, `too_many_members`)."""
    if role not in [r.value for r in MemberRole]:
        raise unknown_choice("role", role, [r.value for r in MemberRole])
    with uow:
        account = _managed(uow, principal, organisation)
        member = _person(uow, _somebody(uow, person))
        members = {m.account_id: m.role for m in uow.organisations.members(account.id)}
        if member not in members:
            check_room(len(members))
        elif role != MemberRole.OWNER:
            check_owner_stays(members, member)
        uow.organisations.put(account.id, member, MemberRole(role), now)
        record(uow, now, principal, "organisation.member", f"account {account.id}", member=str(member), role=role)
        changed = _shown(uow, now, account)
        uow.commit()
    return changed


def remove_member(
    uow: UnitOfWork, now: datetime, principal: Principal, organisation: UUID | str, person: UUID | str
) -> Organisation:
    """End a membership, and with it the member's keys of the organisation, batches and training jobs; twice is once.

    Orders that were placed on their own end by themselves: what they may cost is held already. Owners end everybody's,
    members their own. Raises Conflict(`last_owner`).
    """
    with uow:
        account = _organisation(uow, principal, organisation)
        uow.organisations.lock(account.id)
        leaving = uow.accounts.find(person)
        if leaving is None or leaving.id != principal.actor:
            check_manages(uow, principal, account.id)
        member = _somebody(uow, person)
        check_owner_stays({m.account_id: m.role for m in uow.organisations.members(account.id)}, member)
        uow.organisations.remove(account.id, member)
        uow.keys.revoke_of_member(account.id, member, now)
        uow.changes.bump(CHANGED_KEYS)
        uow.emit(Event(Topic.KEYS_CHANGED))
        batches = cancel_batches_of(uow, now, account.id, member)
        jobs = cancel_jobs_of(uow, now, account.id, member)
        ended = {"member": str(member), "batches": batches, "training_jobs": jobs}
        record(uow, now, principal, "organisation.remove", f"account {account.id}", **ended)
        changed = _shown(uow, now, account)
        uow.commit()
    return changed


def create_member_key(
    uow: UnitOfWork, now: datetime, principal: Principal, organisation: UUID | str, person: UUID | str, label: str = ""
) -> NewKey:
    """A key with which a member spends from the organisation's wallet; made by an owner, or by that member."""
    with uow:
        account = _organisation(uow, principal, organisation)
        member = _somebody(uow, person)
        if principal.actor != member:
            check_manages(uow, principal, account.id)
        uow.organisations.lock(account.id)  # or else a member who is removed meanwhile keeps this key
        if uow.organisations.role_of(account.id, member) is None:
            raise NotFound("member", person, accepted="a member of the organisation")
        made = make_key(uow, now, Principal(None, account.id, Role.USER, member), label)
        record(uow, now, principal, "key.create", f"key {made.key_id}", account=str(account.id), member=str(member))
        uow.commit()
    return made


def _managed(uow: UnitOfWork, principal: Principal, organisation: UUID | str) -> Account:
    """An organisation whose members stay as they are until the transaction ends, if the caller manages it."""
    account = _organisation(uow, principal, organisation)
    uow.organisations.lock(account.id)
    check_manages(uow, principal, account.id)
    return account


def _organisation(uow: UnitOfWork, principal: Principal, organisation: UUID | str) -> Account:
    """An organisation that the caller belongs to, or is (admins: any); all others look as if they did not exist."""
    account = uow.accounts.find(organisation)
    if account is None or account.type is not AccountType.ORGANISATION or not _is_seen(uow, principal, account.id):
        raise NotFound("organisation", organisation, accepted="its name or id")
    return account


def _is_seen(uow: UnitOfWork, principal: Principal, organisation: AccountId) -> bool:
    itself = principal.account_id == organisation and principal.member_id is None
    member = uow.organisations.role_of(organisation, principal.actor) is not None
    return principal.role is Role.ADMIN or itself or member


def _somebody(uow: UnitOfWork, person: UUID | str) -> AccountId:
    found = uow.accounts.find(person)
    if found is None:
        raise NotFound("account", person, field="member", accepted="the account of a person")
    return found.id


def _person(uow: UnitOfWork, account_id: AccountId) -> AccountId:
    if find_account(uow, account_id).type is not AccountType.PERSON:
        raise Invalid("only persons are members", code="not_a_person", field="member", accepted="a person's account")
    return account_id


def _shown(uow: UnitOfWork, now: datetime, account: Account) -> Organisation:
    held_to = budgets_of(uow, now, account.id)
    return Organisation(view_of(uow, account), uow.organisations.members(account.id), held_to)
