"""Which limits count for a key: what its face gives, what the operator says, and what its owner says beneath that."""

from itertools import pairwise

import pytest

from backend.domain.errors import Invalid
from backend.domain.rates import (
    AT_ONCE_MAX,
    BYTES_PER_TOKEN,
    DEFAULTS,
    NONE,
    PER_MINUTE_MAX,
    Face,
    Limits,
    OwnLimits,
    body_tokens,
    ceilings,
    check_own,
    effective,
)
from backend.domain.tiers import TierName


def test_every_tier_and_the_api_have_limits_and_larger_tiers_have_more() -> None:
    assert {face.value for face in DEFAULTS} == {"api", *(tier.value for tier in TierName)}
    tiers = [DEFAULTS[Face(tier)] for tier in TierName]
    for smaller, larger in pairwise(tiers):
        assert smaller.requests_per_minute < larger.requests_per_minute
        assert smaller.tokens_per_minute < larger.tokens_per_minute
        assert smaller.in_flight < larger.in_flight


@pytest.mark.parametrize(
    ("operator", "owner", "expected"),
    [
        (NONE, NONE, Limits(6_000, 600_000, 16)),
        (OwnLimits(requests_per_minute=9_000), NONE, Limits(9_000, 600_000, 16)),
        (OwnLimits(in_flight=1), NONE, Limits(6_000, 600_000, 1)),
        (NONE, OwnLimits(60, 70, 2), Limits(60, 70, 2)),
        (NONE, OwnLimits(7_000), Limits(6_000, 600_000, 16)),
        (OwnLimits(9_000), OwnLimits(7_000), Limits(7_000, 600_000, 16)),
        (OwnLimits(50), OwnLimits(60, None, 4), Limits(50, 600_000, 4)),
    ],
)
def test_the_operators_word_replaces_the_default_and_the_owners_only_lowers(
    operator: OwnLimits, owner: OwnLimits, expected: Limits
) -> None:
    assert effective(Face.SMALL, operator, owner) == expected


def test_an_owner_may_set_as_much_as_the_largest_face_gives_or_as_the_operator_says() -> None:
    assert ceilings(NONE) == {
        "requests_per_minute": 1_200_000,
        "tokens_per_minute": 192_000_000,
        "in_flight": 1_024,
    }
    assert ceilings(OwnLimits(requests_per_minute=10, in_flight=5_000)) == {
        "requests_per_minute": 10,
        "tokens_per_minute": 192_000_000,
        "in_flight": 5_000,
    }


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (OwnLimits(requests_per_minute=0), "requests_per_minute"),
        (OwnLimits(requests_per_minute=PER_MINUTE_MAX + 1), "requests_per_minute"),
        (OwnLimits(tokens_per_minute=-5), "tokens_per_minute"),
        (OwnLimits(in_flight=AT_ONCE_MAX + 1), "in_flight"),
        (OwnLimits(in_flight=True), "in_flight"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_with_its_name(wish: OwnLimits, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_own(wish)
    assert (refused.value.code, refused.value.field) == (f"invalid_{field}", field)
    assert str(refused.value.accepted).startswith("1 to ")


def test_an_owner_is_told_that_an_admin_may_set_more() -> None:
    with pytest.raises(Invalid) as refused:
        check_own(OwnLimits(in_flight=11), {"in_flight": 10})
    assert refused.value.accepted == "1 to 10; an admin may set more"
    assert check_own(OwnLimits(in_flight=10), {"in_flight": 10}).given() == {"in_flight": 10}


def test_a_wish_that_limits_nothing_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        check_own(NONE)
    assert refused.value.code == "no_limit_given"


def test_a_body_costs_a_token_for_every_block_that_it_begins_and_one_at_least() -> None:
    sizes = [0, 1, BYTES_PER_TOKEN, BYTES_PER_TOKEN + 1, 1 << 20]
    assert [body_tokens(size) for size in sizes] == [1, 1, 1, 2, 256]
