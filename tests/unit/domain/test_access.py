"""What a key's role allows, and whose things it shows."""

from uuid import UUID

import pytest

from backend.domain.access import Principal, Role, Spender
from backend.domain.errors import Forbidden, NotFound
from backend.domain.ids import AccountId, KeyId
from tests.unit.domain.refusals import refusal

MINE, THEIRS = AccountId(UUID(int=1)), AccountId(UUID(int=2))
ALLOWED = {
    Role.USER: {Role.USER},
    Role.PROVIDER: {Role.USER, Role.PROVIDER},
    Role.ADMIN: {Role.USER, Role.PROVIDER, Role.ADMIN},
}


def caller(role: Role) -> Principal:
    """A caller of account MINE."""
    return Principal(KeyId(UUID(int=9)), MINE, role)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("needed", Role)
def test_a_role_includes_those_below_it_and_no_other(role: Role, needed: Role) -> None:
    if needed in ALLOWED[role]:
        caller(role).require(needed)
        return
    error = refusal(lambda: caller(role).require(needed))
    assert isinstance(error, Forbidden)
    assert (error.code, error.field, error.accepted) == ("forbidden", "role", needed)


@pytest.mark.parametrize("role", Role)
def test_everybody_sees_what_is_theirs(role: Role) -> None:
    caller(role).require_owner(MINE, "order", 1)


@pytest.mark.parametrize("role", [Role.USER, Role.PROVIDER])
def test_somebody_elses_thing_is_reported_as_if_it_did_not_exist(role: Role) -> None:
    error = refusal(lambda: caller(role).require_owner(THEIRS, "ledger account", 7))
    absent = NotFound("ledger account", 7)
    assert type(error) is NotFound
    assert (error.code, error.message, error.field) == (absent.code, absent.message, absent.field)


def test_an_admin_sees_all() -> None:
    caller(Role.ADMIN).require_owner(THEIRS, "order", 1)


def test_with_an_organisations_key_the_wallet_is_the_organisations_and_the_deed_the_members() -> None:
    member = Principal(KeyId(UUID(int=9)), MINE, Role.USER, THEIRS)
    assert (member.spender, member.actor) == (Spender(MINE, THEIRS), THEIRS)
    assert (caller(Role.USER).spender, caller(Role.USER).actor) == (Spender(MINE, None), MINE)
