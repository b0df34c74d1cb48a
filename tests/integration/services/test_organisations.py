"""Organisations: a wallet that members spend from with keys of their own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from backend.bootstrap import utc_now
from backend.domain.access import Principal, Role
from backend.domain.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from backend.domain.ids import AccountId, KeyId
from backend.domain.organisations import MemberRole
from backend.services import accounts, api_keys, deposits, log, orders, organisations
from tests.market import Market


def test_a_member_spends_from_the_wallet_of_the_organisation_and_is_known_for_it(market: Market) -> None:
    market.node("a")
    market.executor()
    lab, owner, ana, _ = market.organisation("lab", "ana", "ben")
    deposits.deposit(market.app.uow(), utc_now(), lab, 10**9, "the lab's")
    order = orders.place_workload(market.app.uow(), utc_now(), ana, market.request()).orders[0]
    assert (order.account_id, order.member_id) == (lab, ana.member_id)
    shown = organisations.show_organisation(market.app.uow(), utc_now(), owner, "lab")
    assert shown.account.reserved_nano == order.worst_case_nano
    assert accounts.show_account(market.app.uow(), ana.actor).reserved_nano == 0
    assert [(m.name, m.role) for m in shown.members] == [
        ("ana", MemberRole.MEMBER),
        ("ben", MemberRole.MEMBER),
        ("lab-owner", MemberRole.OWNER),
    ]


def test_who_is_removed_has_no_key_any_more_and_others_keep_theirs(market: Market) -> None:
    lab, owner, ana, ben = market.organisation("lab", "ana", "ben")
    keys = {
        member: organisations.create_member_key(market.app.uow(), utc_now(), owner, lab, member.actor).secret
        for member in (ana, ben)
    }
    own = api_keys.create_key(market.app.uow(), utc_now(), ana.actor, Role.USER).secret
    assert api_keys.authenticate(market.app.uow(), keys[ana]).spender == ana.spender
    organisations.remove_member(market.app.uow(), utc_now(), owner, lab, "ana")
    with pytest.raises(Unauthenticated):
        api_keys.authenticate(market.app.uow(), keys[ana])
    assert api_keys.authenticate(market.app.uow(), keys[ben]).member_id == ben.member_id
    assert api_keys.authenticate(market.app.uow(), own).account_id == ana.actor
    with pytest.raises(NotFound):
        organisations.create_member_key(market.app.uow(), utc_now(), owner, lab, "ana")


def test_a_members_key_makes_no_key_that_escapes_the_member_and_ends_none_of_anothers(market: Market) -> None:
    lab, owner, ana, ben = market.organisation("lab", "ana", "ben")
    made = organisations.create_member_key(market.app.uow(), utc_now(), ana, lab, ana.actor)
    bearer = api_keys.authenticate(market.app.uow(), made.secret)
    another = api_keys.create_key(market.app.uow(), utc_now(), lab, Role.USER, "", bearer)
    assert api_keys.authenticate(market.app.uow(), another.secret).member_id == ana.member_id
    bens = organisations.create_member_key(market.app.uow(), utc_now(), owner, lab, ben.actor)
    with pytest.raises(Forbidden):
        api_keys.revoke_key(market.app.uow(), utc_now(), bens.key_id, bearer)
    with pytest.raises(Forbidden):
        organisations.create_member_key(market.app.uow(), utc_now(), ana, lab, ben.actor)
    api_keys.revoke_key(market.app.uow(), utc_now(), another.key_id, bearer)
    api_keys.revoke_key(market.app.uow(), utc_now(), bens.key_id, owner)
    with pytest.raises(Unauthenticated):
        api_keys.authenticate(market.app.uow(), bens.secret)


def test_keys_are_listed_to_who_manages_the_account_and_to_members_their_own(market: Market) -> None:
    lab, owner, ana, ben = market.organisation("lab", "ana", "ben")
    anas = organisations.create_member_key(market.app.uow(), utc_now(), ana, lab, ana.actor)
    bens = organisations.create_member_key(market.app.uow(), utc_now(), owner, lab, ben.actor)
    as_ana = api_keys.authenticate(market.app.uow(), anas.secret)
    own = api_keys.create_key(market.app.uow(), utc_now(), ana.actor, Role.USER, "her own")
    admin = Principal(None, market.account("operator").account_id, Role.ADMIN)
    herself = api_keys.authenticate(market.app.uow(), own.secret)

    def listed(actor: Principal, account: AccountId, **narrowed: Any) -> list[KeyId]:
        return [key.id for key in api_keys.list_keys(market.app.uow(), actor, account, **narrowed)]

    assert listed(owner, lab) == listed(admin, lab) == [bens.key_id, anas.key_id]
    assert listed(as_ana, lab) == listed(herself, lab) == [anas.key_id], "she does not manage the lab"
    assert listed(herself, ana.actor) == [own.key_id]
    with pytest.raises(NotFound):
        listed(owner, ana.actor)
    with pytest.raises(NotFound):
        listed(market.account("stranger"), lab)
    assert listed(owner, lab, limit=1) == [bens.key_id]
    assert listed(owner, lab, before=bens.key_id) == [anas.key_id]
    api_keys.revoke_key(market.app.uow(), utc_now(), bens.key_id, owner)
    assert listed(owner, lab) == [anas.key_id]
    ended, living = api_keys.list_keys(market.app.uow(), owner, lab, revoked=True)
    assert (ended.id, ended.member, living.revoked_at) == (bens.key_id, "ben", None)
    assert ended.revoked_at is not None


def test_to_strangers_an_organisation_does_not_exist_and_members_do_not_manage(market: Market) -> None:
    lab, _, ana, _ = market.organisation("lab", "ana", "ben")
    stranger = market.account("stranger")
    calls: list[Callable[[Principal], object]] = [
        lambda who: organisations.put_member(market.app.uow(), utc_now(), who, lab, "stranger", "member"),
        lambda who: organisations.remove_member(market.app.uow(), utc_now(), who, lab, "ben"),
    ]
    for call in calls:
        with pytest.raises(Forbidden):
            call(ana)
        with pytest.raises(NotFound):
            call(stranger)
    with pytest.raises(NotFound):
        organisations.show_organisation(market.app.uow(), utc_now(), stranger, lab)
    assert organisations.list_organisations(market.app.uow(), stranger.account_id) == []
    [membership] = organisations.list_organisations(market.app.uow(), ana.actor)
    assert (membership.name, membership.role) == ("lab", MemberRole.MEMBER)
    assert len(organisations.list_organisations(market.app.uow(), None)) == 1


def test_two_owners_who_leave_at_once_leave_one(market: Market) -> None:
    lab, owner, ana, _ = market.organisation("lab", "ana", "ben")
    organisations.put_member(market.app.uow(), utc_now(), owner, lab, "ana", "owner")
    second = Principal(None, ana.actor, Role.USER)

    def leave(who: Principal) -> str:
        try:
            organisations.remove_member(market.app.uow(), utc_now(), who, lab, who.actor)
        except Conflict as refused:
            return refused.code
        return "left"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(leave, (owner, second))) == ["last_owner", "left"]


def test_what_cannot_be_is_refused_with_a_code(market: Market) -> None:
    lab, owner, _, _ = market.organisation("lab", "ana", "ben")
    now = utc_now()
    with pytest.raises(Conflict):
        organisations.create_organisation(market.app.uow(), now, owner, "lab")
    with pytest.raises(Invalid) as refused:
        organisations.put_member(market.app.uow(), now, owner, lab, "ana", "king")
    assert refused.value.code == "invalid_role"
    with pytest.raises(Invalid) as refused:
        organisations.put_member(market.app.uow(), now, owner, lab, "lab", "member")
    assert refused.value.code == "not_a_person"
    with pytest.raises(NotFound):
        organisations.put_member(market.app.uow(), now, owner, "ana", "ben", "member")
    with pytest.raises(Conflict) as kept:
        organisations.put_member(market.app.uow(), now, owner, lab, owner.actor, "member")
    assert kept.value.code == "last_owner"


def test_every_step_is_in_the_audit_log(market: Market) -> None:
    lab, owner, ana, _ = market.organisation("lab", "ana", "ben")
    organisations.create_member_key(market.app.uow(), utc_now(), owner, lab, ana.actor)
    organisations.remove_member(market.app.uow(), utc_now(), owner, lab, ana.actor)
    of_lab = log.list_entries(market.app.uow(), subject=f"account {lab}")
    assert [entry.action for entry in of_lab if entry.action.startswith("organisation.")] == [
        "organisation.remove",
        "organisation.member",
        "organisation.member",
        "organisation.create",
    ]
    [key] = [e for e in log.list_entries(market.app.uow(), limit=50) if e.details.get("account") == str(lab)]
    assert (key.action, key.details["member"]) == ("key.create", str(ana.actor))
