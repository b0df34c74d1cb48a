"""Joining: what a token may say, which queues are polled, and when reports of time speak against a node."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.access import Role
from backend.domain.errors import Invalid
from backend.domain.ids import AccountId, KeyId, NodeId
from backend.domain.joining import (
    CLAIM_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    OVERSTATED_FROM,
    POLLED,
    REPORT_SLACK_US,
    TOKEN_LIFE_MAX,
    NodePrincipal,
    TokenWish,
    check_token,
    expiry,
    is_polled,
    is_remote,
    notices,
    overstated,
    parse_life,
    remote_queue,
)
from backend.domain.nodes import SLOTS_MAX
from backend.domain.work import PAYLOAD_BYTES_MAX

ID = UUID(int=7)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7_200), ("3d", 259_200), ("0s", 0), ("999999s", 999_999)]
)
def test_a_span_of_time_is_read(text: str, seconds: int) -> None:
    assert parse_life(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "h", "15", "15M", "-1h", "1.5h", "1h30m", " 1h", "1234567s", "\u0661h", "1h\n"])
def test_what_is_no_span_of_time_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_life(text)
    assert (refused.value.code, refused.value.field) == ("invalid_expires", "expires")


@pytest.mark.parametrize(
    "wish",
    [
        TokenWish("fog", "north"),
        TokenWish("dedicated", "eu-1", SLOTS_MAX, "attic", TOKEN_LIFE_MAX),
        TokenWish("mobile", "x", 1, None, timedelta(seconds=1)),
    ],
)
def test_a_token_that_makes_sense_passes(wish: TokenWish) -> None:
    assert check_token(wish) is wish


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (TokenWish("toaster", "north"), "resource_class"),
        (TokenWish("fog", "The Moon"), "region"),
        (TokenWish("fog", "north", 0), "slots_max"),
        (TokenWish("fog", "north", SLOTS_MAX + 1), "slots_max"),
        (TokenWish("fog", "north", 1, "Not A Name"), "name"),
        (TokenWish("fog", "north", 1, None, timedelta(milliseconds=999)), "expires_s"),
        (TokenWish("fog", "north", 1, None, TOKEN_LIFE_MAX + timedelta(seconds=1)), "expires_s"),
    ],
)
def test_a_token_that_makes_none_is_refused_with_the_fields_name(wish: TokenWish, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_token(wish)
    assert refused.value.field == field
    assert refused.value.accepted


def test_a_token_ends_its_life_after_the_moment_it_was_made() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert expiry(now, TokenWish("fog", "north", life=timedelta(minutes=5))) == now + timedelta(minutes=5)


def test_only_queues_of_remote_nodes_are_polled() -> None:
    assert is_remote(remote_queue(ID))
    assert str(ID) in remote_queue(ID)
    assert is_polled(f"{POLLED}{ID}")
    assert not is_polled("http://127.0.0.1:1")
    assert not any(is_remote(queue) for queue in (f"node.{ID}", "pool.remote", "pool.remote.x", ""))


def test_a_node_answers_for_its_own_offer_as_its_owner_with_its_own_key() -> None:
    owner = NodePrincipal(KeyId(ID), AccountId(UUID(int=1)), NodeId(UUID(int=2)), "remote.x").owner
    assert (owner.key_id, owner.account_id, owner.role) == (ID, UUID(int=1), Role.PROVIDER)


def test_one_item_always_fits_into_a_message() -> None:
    assert PAYLOAD_BYTES_MAX <= CLAIM_BYTES_MAX <= MESSAGE_BYTES_MAX


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_report_is_overstated_only_beyond_what_passed(reported_us: int, observed_us: int) -> None:
    assert overstated(reported_us, observed_us) == (reported_us - REPORT_SLACK_US > observed_us)


@pytest.mark.parametrize(
    ("before", "after", "evidence"), [(0, 2, 0), (0, 3, 3), (3, 5, 0), (5, 6, 3), (6, 12, 6), (0, 100, 96)]
)
def test_evidence_comes_with_the_third_report_and_then_with_each_doubling(
    before: int, after: int, evidence: int
) -> None:
    assert notices(before, after) == evidence


@given(st.lists(st.integers(1, 500), max_size=60))
def test_evidence_is_never_more_than_the_reports_and_at_least_half_of_them(batches: list[int]) -> None:
    told = evidence = rows = 0
    for batch in batches:
        found = notices(told, told + batch)
        told, evidence, rows = told + batch, evidence + found, rows + bool(found)
    assert evidence <= told
    assert told < OVERSTATED_FROM or evidence > told // 2
    assert rows <= max(1, told).bit_length()
