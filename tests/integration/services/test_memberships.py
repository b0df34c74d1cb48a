"""What a membership opens ends with it, whatever happens at the same moment; and outsiders learn nothing."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.errors import SwarmexError, Unauthenticated
from backend.domain.ids import AccountId
from backend.services import api_keys, budgets, organisations
from tests.market import Market

ROUNDS = 8


def bearer(market: Market, secret: str) -> Principal:
    """Whom a key speaks for."""
    return api_keys.authenticate(market.app.uow(), secret)


def code_of(call: Callable[[], object]) -> tuple[str, str | None] | None:
    """Code and field of a refusal, None if there was none."""
    try:
        call()
    except SwarmexError as refused:
        return refused.code, refused.field
    return None


@pytest.mark.parametrize(
    "ask",
    [
        lambda market, who, lab: organisations.show_organisation(market.app.uow(), utc_now(), who, lab),
        lambda market, who, lab: organisations.put_member(market.app.uow(), utc_now(), who, lab, "ana", "owner"),
        lambda market, who, lab: organisations.put_member(market.app.uow(), utc_now(), who, lab, "nobody", "owner"),
        lambda market, who, lab: organisations.remove_member(market.app.uow(), utc_now(), who, lab, "ana"),
        lambda market, who, lab: organisations.create_member_key(market.app.uow(), utc_now(), who, lab, "ana"),
        lambda market, who, lab: organisations.create_member_key(market.app.uow(), utc_now(), who, lab, who.account_id),
    ],
)
def test_an_organisation_looks_to_outsiders_like_one_that_does_not_exist(
    market: Market, ask: Callable[[Market, Principal, AccountId], object]
) -> None:
    lab, _, _, _ = market.organisation("lab", "ana", "ben")
    stranger = market.account("stranger")
    there = code_of(lambda: ask(market, stranger, lab))
    nowhere = code_of(lambda: ask(market, stranger, AccountId(new_id())))
    assert there == nowhere == ("unknown_organisation", "organisation")


def test_a_person_who_was_removed_makes_no_key_with_what_the_gateway_still_remembers(market: Market) -> None:
    lab, owner, ana, _ = market.organisation("lab", "ana", "ben")
    secret = organisations.create_member_key(market.app.uow(), utc_now(), owner, lab, ana.actor).secret
    remembered = bearer(market, secret)
    organisations.remove_member(market.app.uow(), utc_now(), owner, lab, ana.actor)
    refused = code_of(lambda: api_keys.create_key(market.app.uow(), utc_now(), lab, Role.USER, "", remembered))
    assert refused == ("unknown_account", "account")


@pytest.mark.parametrize("with_own_key", [True, False])
def test_a_key_that_is_made_while_its_member_is_removed_opens_nothing_afterwards(
    market: Market, with_own_key: bool
) -> None:
    lab, owner, ana, _ = market.organisation("lab", "ana", "ben")

    def key(start: Barrier) -> str | None:
        start.wait()
        try:
            if with_own_key:
                return api_keys.create_key(market.app.uow(), utc_now(), lab, Role.USER, "", ana).secret
            return organisations.create_member_key(market.app.uow(), utc_now(), owner, lab, ana.actor).secret
        except SwarmexError:
            return None

    def remove(start: Barrier) -> None:
        start.wait()
        organisations.remove_member(market.app.uow(), utc_now(), owner, lab, ana.actor)

    with ThreadPoolExecutor(2) as pool:
        for _ in range(ROUNDS):
            organisations.put_member(market.app.uow(), utc_now(), owner, lab, ana.actor, "member")
            start = Barrier(2)
            made, _done = pool.submit(key, start), pool.submit(remove, start).result()
            if secret := made.result():
                with pytest.raises(Unauthenticated):
                    bearer(market, secret)


def test_whoever_comes_back_has_no_old_key(market: Market) -> None:
    lab, owner, ana, _ = market.organisation("lab", "ana", "ben")
    secret = organisations.create_member_key(market.app.uow(), utc_now(), owner, lab, ana.actor).secret
    organisations.remove_member(market.app.uow(), utc_now(), owner, lab, ana.actor)
    organisations.put_member(market.app.uow(), utc_now(), owner, lab, ana.actor, "member")
    with pytest.raises(Unauthenticated):
        bearer(market, secret)


def test_removing_a_member_tells_the_gateways_to_forget_keys(market: Market) -> None:
    lab, owner, ana, _ = market.organisation("lab", "ana", "ben")
    with market.app.uow() as uow:
        before = uow.changes.versions().get(api_keys.CHANGED_KEYS, 0)
    organisations.remove_member(market.app.uow(), utc_now(), owner, lab, ana.actor)
    with market.app.uow() as uow:
        assert uow.changes.versions()[api_keys.CHANGED_KEYS] > before


def test_a_member_ends_their_own_key_of_the_organisation_with_their_own_key_too(market: Market) -> None:
    lab, owner, ana, ben = market.organisation("lab", "ana", "ben")
    made = organisations.create_member_key(market.app.uow(), utc_now(), owner, lab, ana.actor)
    stranger, as_ben, as_ana = market.account("stranger"), *(Principal(None, m.actor, Role.USER) for m in (ben, ana))
    assert code_of(lambda: api_keys.revoke_key(market.app.uow(), utc_now(), made.key_id, stranger)) == (
        "unknown_key",
        "key",
    )
    refused = code_of(lambda: api_keys.revoke_key(market.app.uow(), utc_now(), made.key_id, as_ben))
    assert refused == ("owner_needed", "role")
    api_keys.revoke_key(market.app.uow(), utc_now(), made.key_id, as_ana)
    with pytest.raises(Unauthenticated):
        bearer(market, made.secret)


def test_a_member_ends_the_own_membership_whoever_owns_the_organisation(market: Market) -> None:
    lab, _, ana, ben = market.organisation("lab", "ana", "ben")
    as_ana = Principal(None, ana.actor, Role.USER)
    for nobody in (ben.actor, AccountId(new_id())):
        ask = partial(organisations.remove_member, market.app.uow(), utc_now(), as_ana, lab, nobody)
        refused = code_of(ask)
        assert refused == ("owner_needed", "role")
    left = organisations.remove_member(market.app.uow(), utc_now(), as_ana, lab, ana.actor)
    assert [member.name for member in left.members] == ["ben", "lab-owner"]
    refused = code_of(lambda: organisations.remove_member(market.app.uow(), utc_now(), as_ana, lab, ana.actor))
    assert refused == ("unknown_organisation", "organisation")


def test_an_organisation_shows_its_budgets_to_its_members(market: Market) -> None:
    lab, owner, ana, _ = market.organisation("lab", "ana", "ben")
    budgets.set_budget(market.app.uow(), utc_now(), owner, lab, budgets.BudgetWish("month", 7))
    shown = organisations.show_organisation(market.app.uow(), utc_now(), ana, lab)
    assert [b.limit_nano for b in shown.budgets if b.account_id == lab] == [7]
