"""What is sealed is read by its recipients and its sender alone, as it was sealed, in its place."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.errors import Invalid
from backend.domain.ids import NodeId, SealingKeyId
from backend.domain.private_envelope import Envelope, PrivateItem, item_inputs, read_item
from backend.domain.private_sealing import (
    CannotOpen,
    KeyPair,
    Opened,
    ReplyKeys,
    SealedModel,
    open_answer,
    open_item,
    open_with,
    seal_answer,
    seal_order,
    seal_to,
)

MODEL = SealedModel("digits", 3, "ab" * 32)
NODE, OTHER = NodeId(UUID(int=1)), NodeId(UUID(int=2))
KEY, OTHER_KEY = SealingKeyId(UUID(int=11)), SealingKeyId(UUID(int=12))
PAIR, OTHER_PAIR, STRANGER = KeyPair.new(), KeyPair.new(), KeyPair.new()
BODIES = [(b'{"inputs":[1]}', 1), (b'{"inputs":[2]}', 2)]


def sealed(
    bodies: Sequence[tuple[bytes, int]] = BODIES, model: SealedModel = MODEL
) -> tuple[Envelope, ReplyKeys, list[PrivateItem]]:
    """An order for two nodes, and its items as those are given them."""
    envelope, keys = seal_order(bodies, model, {KEY: PAIR.public, OTHER_KEY: OTHER_PAIR.public})
    nodes = {KEY: NODE, OTHER_KEY: OTHER}
    return envelope, keys, [read_item(item_inputs(envelope, nodes, index)) for index in range(len(bodies))]


ENVELOPE, KEYS, ITEMS = sealed()


def opened(item: PrivateItem, rows: int, model: SealedModel = MODEL, secret: bytes = PAIR.secret) -> Opened:
    """An item, opened at the first node."""
    return open_item(item, model, rows, NODE, secret)


@given(st.lists(st.tuples(st.binary(max_size=200), st.integers(1, 1_000)), min_size=1, max_size=4))
@settings(deadline=None, max_examples=25)
def test_each_recipient_opens_each_item_and_the_sender_opens_each_answer(bodies: list[tuple[bytes, int]]) -> None:
    _, keys, items = sealed(bodies)
    for index, (body, rows) in enumerate(bodies):
        for node, pair in ((NODE, PAIR), (OTHER, OTHER_PAIR)):
            found = open_item(items[index], MODEL, rows, node, pair.secret)
            assert found.body == body
            assert open_answer(keys, index, seal_answer(found, body + b"!")) == body + b"!"


@pytest.mark.parametrize(("node", "pair"), [(NODE, OTHER_PAIR), (NODE, STRANGER), (NodeId(UUID(int=3)), PAIR)])
def test_nobody_else_opens_anything(node: NodeId, pair: KeyPair) -> None:
    with pytest.raises(CannotOpen):
        open_item(ITEMS[0], MODEL, 1, node, pair.secret)


def flipped(value: bytes, bit: int) -> bytes:
    """`value` with one bit turned over."""
    bit %= len(value) * 8
    return value[: bit // 8] + bytes([value[bit // 8] ^ 1 << bit % 8]) + value[bit // 8 + 1 :]


TURNED: dict[str, Callable[[PrivateItem, int], PrivateItem]] = {
    "ciphertext": lambda item, bit: replace(item, ciphertext=flipped(item.ciphertext, bit)),
    "nonce": lambda item, bit: replace(item, nonce=flipped(item.nonce, bit)),
    "reply_key": lambda item, bit: replace(item, reply_key=flipped(item.reply_key, bit)),
    "sealed_key": lambda item, bit: replace(item, sealed_keys={NODE: flipped(item.sealed_keys[NODE], bit)}),
    "index": lambda item, bit: replace(item, index=item.index ^ 1 << bit % 30),
    "count": lambda item, bit: replace(item, count=item.count ^ 1 << bit % 30),
}


@given(st.sampled_from(sorted(TURNED)), st.integers(0, 10_000))
@settings(deadline=None)
def test_one_bit_turned_over_anywhere_in_an_item_and_it_is_refused(part: str, bit: int) -> None:
    with pytest.raises(CannotOpen):
        opened(TURNED[part](ITEMS[0], bit), 1)


@given(st.integers(0, 10_000))
@settings(deadline=None)
def test_one_bit_turned_over_in_an_answer_and_it_is_refused(bit: int) -> None:
    answer = seal_answer(opened(ITEMS[0], 1), b"answer")
    with pytest.raises(CannotOpen):
        open_answer(KEYS, 0, flipped(answer, bit))


def test_items_and_answers_that_changed_places_are_refused() -> None:
    with pytest.raises(CannotOpen):
        opened(replace(ITEMS[0], ciphertext=ITEMS[1].ciphertext), 1)
    with pytest.raises(CannotOpen):
        opened(replace(ITEMS[1], index=0), 2)
    answer = seal_answer(opened(ITEMS[1], 2), b"of the second")
    assert open_answer(KEYS, 1, answer) == b"of the second"
    with pytest.raises(CannotOpen):
        open_answer(KEYS, 0, answer)
    with pytest.raises(CannotOpen):
        open_answer(KEYS, 2, answer)


@pytest.mark.parametrize(
    "model",
    [
        replace(MODEL, name="letters"),
        replace(MODEL, version=4),
        replace(MODEL, checksum="cd" * 32),
    ],
)
def test_an_item_is_for_the_model_and_the_file_that_it_was_sealed_for(model: SealedModel) -> None:
    with pytest.raises(CannotOpen):
        opened(ITEMS[0], 1, model)


def test_an_item_has_the_rows_that_it_was_sealed_with() -> None:
    with pytest.raises(CannotOpen):
        opened(ITEMS[0], 2)


def test_an_item_of_another_order_of_the_same_sender_is_refused() -> None:
    _, _, others = sealed()
    with pytest.raises(CannotOpen):
        opened(replace(ITEMS[0], ciphertext=others[0].ciphertext), 1)


def test_nobody_but_a_recipient_can_write_an_answer() -> None:
    forged = seal_to(KEYS.binding.reply_key, b"what the market would like to say")
    with pytest.raises(CannotOpen):
        open_answer(KEYS, 0, forged)


def test_a_stolen_key_of_a_node_opens_no_answer_that_was_given_before() -> None:
    answer = seal_answer(opened(ITEMS[0], 1), b"answer")
    with pytest.raises(CannotOpen):
        open_with(PAIR.secret, answer)


def test_nothing_is_sealed_twice_alike() -> None:
    again, _, _ = sealed()
    assert again.nonce != ENVELOPE.nonce
    assert again.reply_key != ENVELOPE.reply_key
    assert again.items[0].ciphertext != ENVELOPE.items[0].ciphertext


def test_what_a_sender_keeps_survives_being_written_down_and_shows_nothing_by_accident() -> None:
    assert ReplyKeys.from_wire(KEYS.wire()) == KEYS
    for shown in (repr(KEYS), repr(PAIR), repr(opened(ITEMS[0], 1))):
        assert not {repr(KEYS.secret), repr(KEYS.key), repr(PAIR.secret), repr(BODIES[0][0])} & set(shown.split("="))
        assert "secret" not in shown
        assert "inputs" not in shown
    with pytest.raises(TypeError):
        ReplyKeys.from_wire(KEYS.wire() | {"rows": 3})


@pytest.mark.parametrize(
    "public", [b"", b"\0" * 31, b"\0" * 32, b"\1" + b"\0" * 31], ids=["none", "short", "zero", "of low order"]
)
def test_nothing_is_sealed_to_a_key_that_is_none_or_that_everybody_has(public: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        seal_to(public, b"message")
    assert refused.value.code == "malformed_key"


@pytest.mark.parametrize("secret", [b"", b"\0" * 31, STRANGER.secret], ids=["none", "short", "another"])
def test_a_challenge_is_opened_by_its_key_alone(secret: bytes) -> None:
    challenge = seal_to(PAIR.public, b"random")
    assert open_with(PAIR.secret, challenge) == b"random"
    with pytest.raises(CannotOpen):
        open_with(secret, challenge)
