"""Envelopes as the market checks them, which knows their form and nothing else."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import Invalid, InvalidTensor
from backend.domain.ids import NodeId, SealingKeyId
from backend.domain.private_envelope import (
    KEY_BYTES,
    NONCE_BYTES,
    RECIPIENTS_MAX,
    SEAL_BYTES,
    SEALED_KEY_BYTES,
    Envelope,
    Recipient,
    SealedItem,
    answer_outputs,
    check_envelope,
    is_private,
    item_inputs,
    read_item,
    sealed_in,
)
from backend.domain.tensors import ELEMENTS_MAX, Signature, TensorSpec, parse_request
from backend.domain.tensors.wishes import read_wishes

CIPHERTEXT = bytes(SEAL_BYTES + 1)


def recipient(number: int) -> Recipient:
    return Recipient(SealingKeyId(UUID(int=number)), bytes([number]) * SEALED_KEY_BYTES)


GOOD = Envelope(
    b"n" * NONCE_BYTES,
    b"k" * KEY_BYTES,
    [recipient(1), recipient(2)],
    [SealedItem(1, CIPHERTEXT), SealedItem(ELEMENTS_MAX, CIPHERTEXT)],
)
NODES = {SealingKeyId(UUID(int=n)): NodeId(UUID(int=100 + n)) for n in (1, 2)}


def test_an_envelope_in_form_is_let_through() -> None:
    check_envelope(GOOD)
    check_envelope(replace(GOOD, recipients=[recipient(n) for n in range(RECIPIENTS_MAX)]))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"version": 2}, "version"),
        ({"nonce": b"short"}, "nonce"),
        ({"reply_key": b"k" * 33}, "reply_key"),
        ({"recipients": []}, "recipients"),
        ({"recipients": [recipient(1), recipient(1)]}, "recipients"),
        ({"recipients": [recipient(1), replace(recipient(2), sealed_key=b"")]}, "recipients[1].sealed_key"),
        ({"items": [SealedItem(0, CIPHERTEXT)]}, "items[0].rows"),
        ({"items": [SealedItem(ELEMENTS_MAX + 1, CIPHERTEXT)]}, "items[0].rows"),
        ({"items": [SealedItem(1, CIPHERTEXT), SealedItem(1, bytes(SEAL_BYTES))]}, "items[1].ciphertext"),
    ],
)
def test_an_envelope_out_of_form_is_refused_by_the_name_of_what_is_wrong(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_envelope(replace(GOOD, **changes))
    assert (refused.value.code, refused.value.field) == ("malformed_envelope", f"private.{field}")
    assert refused.value.accepted


def test_there_are_so_many_recipients_and_no_more() -> None:
    with pytest.raises(Invalid) as refused:
        check_envelope(replace(GOOD, recipients=[recipient(n) for n in range(RECIPIENTS_MAX + 1)]))
    assert (refused.value.code, refused.value.field) == ("too_many_recipients", "private.recipients")


def test_a_node_reads_what_the_market_wrote() -> None:
    inputs = item_inputs(GOOD, NODES, 1)
    assert is_private(inputs)
    item = read_item(inputs)
    assert (item.nonce, item.reply_key, item.index, item.count) == (GOOD.nonce, GOOD.reply_key, 1, 2)
    assert item.ciphertext == CIPHERTEXT
    assert item.sealed_keys == {NODES[one.key_id]: one.sealed_key for one in GOOD.recipients}


def _changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    body = json.loads(item_inputs(GOOD, NODES, 0))
    change(body)
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    "inputs",
    [
        b"",
        b"[]",
        b'{"private":1}',
        _changed(lambda body: body.pop("sealed")),
        _changed(lambda body: body.update(sealed="no base64")),
        _changed(lambda body: body["private"].update(version=2)),
        _changed(lambda body: body["private"].update(recipients=[{"node": "nobody", "sealed_key": ""}])),
        _changed(lambda body: body["private"].update(recipients=3)),
    ],
)
def test_a_node_refuses_what_no_market_writes(inputs: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        read_item(inputs)
    assert refused.value.code == "malformed_envelope"


@given(st.binary(min_size=SEAL_BYTES + 1, max_size=300))
def test_sealed_outputs_are_told_from_all_others(ciphertext: bytes) -> None:
    assert sealed_in(answer_outputs(ciphertext)) == ciphertext


@pytest.mark.parametrize(
    "outputs",
    [b"", b'{"outputs":[]}', b'{"sealed":"', b'{"sealed":"?"}', b'{"sealed":""}', answer_outputs(bytes(SEAL_BYTES))],
)
def test_other_outputs_are_not_sealed(outputs: bytes) -> None:
    assert sealed_in(outputs) is None


def test_a_request_that_calls_itself_private_is_refused_where_it_would_not_be() -> None:
    signature = Signature((TensorSpec("x", "FP32", (-1,)),), (TensorSpec("y", "FP32", (-1,)),))
    with pytest.raises(InvalidTensor) as refused:
        read_wishes({"parameters": {"private": True}}, signature)
    assert (refused.value.code, refused.value.field) == ("private_not_offered", "parameters")
    with pytest.raises(InvalidTensor) as refused:
        parse_request({"inputs": [], "parameters": {"private": True}}, signature)
    assert refused.value.code == "private_not_offered"


def test_plain_inputs_are_not_private() -> None:
    assert not is_private(b'{"inputs":[{"name":"private"}]}')
