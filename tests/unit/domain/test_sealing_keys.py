"""Which keys serve private orders, and who may vouch for them."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from backend.domain.errors import Invalid, SwarmexError
from backend.domain.ids import AccountId, NodeId, SealingKeyId
from backend.domain.private_envelope import SEALED_KEY_BYTES, Envelope, Recipient, SealedItem
from backend.domain.sealing_keys import (
    KeyState,
    SealingKey,
    addressed,
    check_verifiable,
    fingerprint,
    plain_fingerprint,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = SealingKey(
    SealingKeyId(UUID(int=1)),
    NodeId(UUID(int=2)),
    "attic",
    AccountId(UUID(int=3)),
    "fog",
    "north",
    b"k" * 32,
    KeyState.PROVEN,
    NOW,
    NOW,
)
VERIFIED = replace(KEY, state=KeyState.VERIFIED)
ENVELOPE = Envelope(b"n" * 32, b"r" * 32, [Recipient(KEY.id, bytes(SEALED_KEY_BYTES))], [SealedItem(1, b"c" * 100)])


def test_a_fingerprint_is_short_depends_on_the_whole_key_and_is_known_however_it_is_typed() -> None:
    assert fingerprint(b"k" * 32) != fingerprint(b"k" * 31 + b"l")
    assert len(KEY.fingerprint) == 39
    for typed in (KEY.fingerprint, KEY.fingerprint.upper(), KEY.fingerprint.replace("-", ""), f" {KEY.fingerprint}\n"):
        assert plain_fingerprint(typed) == KEY.fingerprint


@pytest.mark.parametrize("typed", ["", "abcd", "g" * 32, "a" * 33, "\uff41" * 32])
def test_what_is_no_fingerprint_is_refused(typed: str) -> None:
    with pytest.raises(Invalid) as refused:
        plain_fingerprint(typed)
    assert refused.value.code == "invalid_fingerprint"


@pytest.mark.parametrize(
    ("key", "stated", "code"),
    [
        (KEY, fingerprint(b"x" * 32), "fingerprint_differs"),
        (VERIFIED, fingerprint(b"x" * 32), "fingerprint_differs"),
        *((replace(KEY, state=state), KEY.fingerprint, "key_not_proven") for state in KeyState if state != "proven"),
    ],
)
def test_nobody_vouches_for_another_key_or_for_one_that_was_not_proven(key: SealingKey, stated: str, code: str) -> None:
    check_verifiable(KEY, KEY.fingerprint)
    with pytest.raises(SwarmexError) as refused:
        check_verifiable(key, stated)
    assert refused.value.code == code


def test_a_private_order_goes_to_the_nodes_of_its_keys() -> None:
    assert addressed(ENVELOPE, {KEY.id: VERIFIED}) == {KEY.id: KEY.node_id}


@pytest.mark.parametrize(
    ("known", "code"),
    [
        ({}, "unknown_sealing_key"),
        *(({KEY.id: replace(KEY, state=s)}, "sealing_key_not_verified") for s in KeyState if s != "verified"),
    ],
)
def test_keys_that_do_not_serve_are_refused_by_their_place(known: dict[SealingKeyId, SealingKey], code: str) -> None:
    with pytest.raises(SwarmexError) as refused:
        addressed(ENVELOPE, known)
    assert (refused.value.code, refused.value.field) == (code, "private.recipients[0].key")


def test_a_malformed_envelope_is_refused_before_any_key_is_looked_at() -> None:
    with pytest.raises(SwarmexError) as refused:
        addressed(replace(ENVELOPE, nonce=b""), {})
    assert refused.value.code == "malformed_envelope"
