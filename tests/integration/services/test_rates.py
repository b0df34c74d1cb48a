"""Limits of keys: admins set what they like, owners less than they have, and nobody else sees or sets anything."""

from collections.abc import Callable

import pytest

from backend.bootstrap import utc_now
from backend.domain.access import Principal, Role
from backend.domain.errors import Forbidden, Invalid, NotFound
from backend.domain.ids import AccountId, KeyId
from backend.domain.rates import DEFAULTS, NONE, Face, OwnLimits
from backend.services import api_keys, changes, log, organisations, rates
from backend.storage.ids import new_id
from tests.market import Market


@pytest.fixture
def admin(market: Market) -> Principal:
    return with_key(market, market.account("operator").account_id, Role.ADMIN)


@pytest.fixture
def owner(market: Market) -> Principal:
    return with_key(market, market.buyer.account_id, Role.USER)


def with_key(market: Market, account: AccountId, role: Role) -> Principal:
    made = api_keys.create_key(market.app.uow(), utc_now(), account, role)
    return Principal(made.key_id, account, role)


def key_of(principal: Principal) -> KeyId:
    assert principal.key_id
    return principal.key_id


def setting(market: Market, who: Principal, key: KeyId, *limits: int | None) -> rates.KeyLimits:
    return rates.set_limits(market.app.uow(), utc_now(), who, key, OwnLimits(*limits))


def test_a_key_has_what_everybody_has_until_something_is_set_for_it(market: Market, owner: Principal) -> None:
    key = key_of(owner)
    assert rates.limits_of(market.app.uow(), key) == DEFAULTS
    assert rates.limits_of(market.app.uow(), KeyId(new_id())) == DEFAULTS
    view = setting(market, owner, key, 60, None, 2)
    assert view == rates.show_limits(market.app.uow(), owner, key)
    assert (view.operator, view.owner) == (NONE, OwnLimits(60, None, 2))
    assert rates.limits_of(market.app.uow(), key) == view.faces
    assert view.faces[Face.API].requests_per_minute == 60
    assert view.faces[Face.API].tokens_per_minute == DEFAULTS[Face.API].tokens_per_minute


def test_admins_raise_limits_and_owners_stay_below_them(market: Market, owner: Principal, admin: Principal) -> None:
    key = key_of(owner)
    assert setting(market, admin, key, 2_000_000).faces[Face.SMALL].requests_per_minute == 2_000_000
    assert setting(market, owner, key, 1_500_000).faces[Face.SMALL].requests_per_minute == 1_500_000
    with pytest.raises(Invalid) as refused:
        setting(market, owner, key, 2_000_001)
    assert (refused.value.code, refused.value.accepted) == (
        "invalid_requests_per_minute",
        "1 to 2000000; an admin may set more",
    )
    assert setting(market, admin, key, 10).faces[Face.SMALL].requests_per_minute == 10


def test_each_side_removes_its_own_and_admins_all(market: Market, owner: Principal, admin: Principal) -> None:
    key, uow = key_of(owner), market.app.uow
    setting(market, admin, key, 100)
    setting(market, owner, key, 50)
    assert rates.remove_limits(uow(), utc_now(), owner, key).faces[Face.API].requests_per_minute == 100
    with pytest.raises(NotFound) as refused:
        rates.remove_limits(uow(), utc_now(), owner, key)
    assert refused.value.code == "unknown_key_limits"
    setting(market, owner, key, 50)
    assert rates.remove_limits(uow(), utc_now(), admin, key).faces == DEFAULTS


def test_every_change_moves_the_counter_that_gateways_watch_and_is_logged(
    market: Market, owner: Principal, admin: Principal
) -> None:
    key, uow = key_of(owner), market.app.uow
    before = changes.versions(uow()).get("rates", 0)
    setting(market, admin, key, 100, None, 3)
    rates.remove_limits(uow(), utc_now(), admin, key)
    assert changes.versions(uow())["rates"] == before + 2
    removed, made = log.list_entries(uow(), subject=f"key {key}", action="key.")[:2]
    assert (made.action, made.details, made.actor_id) == (
        "key.limit",
        {"side": "operator", "requests_per_minute": 100, "in_flight": 3},
        admin.account_id,
    )
    assert (removed.action, removed.key_id) == ("key.unlimit", admin.key_id)


def test_a_refusal_changes_nothing(market: Market, owner: Principal) -> None:
    uow = market.app.uow
    before = changes.versions(uow())
    for wrong in ((None,), (0,), (None, -1), (None, None, 10**9)):
        with pytest.raises(Invalid):
            setting(market, owner, key_of(owner), *wrong)
    assert changes.versions(uow()) == before
    assert rates.limits_of(uow(), key_of(owner)) == DEFAULTS


def test_anothers_key_is_unknown_and_a_members_key_is_its_organisations_to_limit(market: Market) -> None:
    uow = market.app.uow
    lab, boss, ana, ben = market.organisation("lab", "ana", "ben")
    made = organisations.create_member_key(uow(), utc_now(), boss, lab, ana.actor, "for ana")
    as_ana = Principal(made.key_id, lab, Role.USER, ana.actor)
    stranger = market.account("stranger")
    asks: list[Callable[[], object]] = [
        lambda: rates.show_limits(uow(), stranger, made.key_id),
        lambda: setting(market, stranger, made.key_id, 1),
        lambda: rates.remove_limits(uow(), utc_now(), stranger, made.key_id),
    ]
    for ask in asks:
        with pytest.raises(NotFound) as refused:
            ask()
        assert refused.value.code == "unknown_key"
    assert rates.show_limits(uow(), as_ana, made.key_id).faces == DEFAULTS
    with pytest.raises(Forbidden) as forbidden:
        setting(market, as_ana, made.key_id, 1)
    assert forbidden.value.code == "owner_needed"
    assert setting(market, boss, made.key_id, 1).owner == OwnLimits(1)
    as_ben = Principal(KeyId(new_id()), lab, Role.USER, ben.actor)
    with pytest.raises(Forbidden):
        rates.show_limits(uow(), as_ben, made.key_id)
