"""Who manages an organisation, who stays its owner, and how many belong to it."""

from uuid import UUID

import pytest

from backend.domain.errors import Conflict, Forbidden, NotFound
from backend.domain.ids import AccountId
from backend.domain.organisations import (
    MEMBERS_MAX,
    MemberRole,
    check_manager,
    check_owner_stays,
    check_room,
)
from tests.unit.domain.refusals import refusal

LAB, ANA, BEN = (AccountId(UUID(int=number)) for number in (1, 2, 3))
OWNER, MEMBER = MemberRole.OWNER, MemberRole.MEMBER


def test_an_owner_manages_an_organisation() -> None:
    check_manager(LAB, OWNER)


def test_a_member_who_is_no_owner_is_told_that_one_is_needed() -> None:
    error = refusal(lambda: check_manager(LAB, MEMBER))
    assert isinstance(error, Forbidden)
    assert (error.code, error.field, error.accepted) == ("owner_needed", "role", "owner")


def test_to_who_is_no_member_an_organisation_does_not_exist() -> None:
    assert isinstance(refusal(lambda: check_manager(LAB, None)), NotFound)


@pytest.mark.parametrize("members", [{ANA: OWNER}, {ANA: OWNER, BEN: MEMBER}])
def test_the_last_owner_stays(members: dict[AccountId, MemberRole]) -> None:
    error = refusal(lambda: check_owner_stays(members, ANA))
    assert isinstance(error, Conflict)
    assert (error.code, error.field) == ("last_owner", "member")
    assert error.accepted


@pytest.mark.parametrize(
    ("members", "leaving"),
    [
        ({ANA: OWNER, BEN: OWNER}, ANA),
        ({ANA: OWNER, BEN: MEMBER}, BEN),
        ({ANA: OWNER}, BEN),
        ({}, BEN),
    ],
)
def test_whoever_leaves_an_owner_behind_may_go(members: dict[AccountId, MemberRole], leaving: AccountId) -> None:
    check_owner_stays(members, leaving)


def test_an_organisation_takes_members_up_to_its_limit() -> None:
    check_room(MEMBERS_MAX - 1)
    error = refusal(lambda: check_room(MEMBERS_MAX))
    assert isinstance(error, Conflict)
    assert (error.code, error.field) == ("too_many_members", "member")
    assert str(MEMBERS_MAX) in str(error.accepted)
