"""Servers that stand for nodes: their URLs and credentials, and when what they say fits a model of ours."""

import json
from typing import Any

import pytest

from backend.domain.errors import Invalid
from backend.domain.external_nodes import (
    CREDENTIAL_CHARS_MAX,
    NAMES_MAX,
    check_credential,
    check_server_url,
    difference,
    read_index,
    read_signature,
)
from backend.domain.tensors import Signature, TensorSpec


def signature(inputs: list[int], outputs: list[int] | None = None, datatype: str = "FP32") -> Signature:
    """One input and one output of these shapes."""
    taken = TensorSpec("x", datatype, tuple(inputs))
    return Signature((taken,), (TensorSpec("y", "FP32", tuple(inputs if outputs is None else outputs)),))


@pytest.mark.parametrize(
    ("url", "known_as"),
    [
        ("http://gpu-1:8000", "http://gpu-1:8000"),
        ("https://Models.Example/", "https://models.example:443"),
        ("http://10.0.0.5", "http://10.0.0.5:80"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_a_server_is_known_by_scheme_host_and_port(url: str, known_as: str) -> None:
    assert check_server_url(url) == known_as


@pytest.mark.parametrize(
    "url",
    [
        *("", "gpu-1:8000", "ftp://gpu-1", "http://", "http://gpu-1:0", "http://gpu-1:65536", "http://gpu-1/v2"),
        *("http://me:secret@gpu-1", "http://gpu-1?x", "http://gpu-1#x", "http://gpu 1", "http://-gpu", "file:///etc"),
        *("http://gpu-1\n", "http://gpu-1:8000\r\nHost: x", "http://gpü"),
    ],
)
def test_anything_else_is_no_url_of_a_server(url: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check_server_url(url)
    assert (refusal.value.code, refusal.value.field) == ("invalid_server_url", "url")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("abc.def-123", "Bearer abc.def-123"),
        (" abc\n", "Bearer abc"),
        ("Bearer abc", "Bearer abc"),
        ("Basic dXNlcg==", "Basic dXNlcg=="),
        ("Authorization: Bearer abc\n", "Bearer abc"),
        ("authorization:abc", "Bearer abc"),
    ],
)
def test_a_credential_is_a_token_or_a_header(given: str, shown: str) -> None:
    assert check_credential(given) == shown


@pytest.mark.parametrize(
    "given", ["", " \n", "a\nb", "hüsh", "a\0b", "Authorization:", "x" * (CREDENTIAL_CHARS_MAX + 1)]
)
def test_what_is_no_credential_is_refused_without_repeating_it(given: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check_credential(given)
    assert refusal.value.code == "invalid_credential"
    assert not given.strip() or given.strip() not in refusal.value.message


def test_a_signature_is_read_from_metadata() -> None:
    told = {"name": "m", "platform": "onnx"} | signature([-1, 4]).to_wire()
    assert read_signature(json.dumps(told).encode()) == signature([-1, 4])


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"null", b"{}", b"[" * 100_000, b'{"inputs": [{"name": "x"}], "outputs": []}', b"\xff"]
)
def test_metadata_that_cannot_be_read_is_refused(document: bytes) -> None:
    with pytest.raises(Invalid):
        read_signature(document)


def test_an_index_is_a_list_of_names() -> None:
    told: list[Any] = [{"name": "a", "version": "1"}, {"name": "a", "version": "2"}, {"name": "b"}, {}, 3, "c"]
    assert read_index(json.dumps(told).encode()) == {"a", "b"}


@pytest.mark.parametrize("document", [b"", b"{}", b"3", json.dumps([{}] * (NAMES_MAX + 1)).encode()])
def test_an_index_that_cannot_be_read_is_refused(document: bytes) -> None:
    with pytest.raises(Invalid):
        read_index(document)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (signature([-1, 4]), signature([-1, 4])),
        (signature([1, 4]), signature([-1, 4])),
        (signature([1, 4]), signature([-1, -1])),
        (signature([-1, 4], [-1, 2]), signature([-1, 4], [-1, -1])),
        (signature([-1, 4], [-1, -1]), signature([-1, 4], [-1, 2])),
    ],
)
def test_a_model_that_takes_all_that_ours_takes_stands_for_it(ours: Signature, theirs: Signature) -> None:
    assert difference(ours, theirs) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        (signature([-1, 4]), signature([1, 4]), "input x is FP32 [1, 4]"),
        (signature([-1, 4]), signature([-1, 8]), "input x is FP32 [-1, 8]"),
        (signature([-1, 4]), signature([-1]), "input x is FP32 [-1]"),
        (signature([-1, 4]), signature([-1, 4], datatype="FP16"), "input x is FP16 [-1, 4]"),
        (signature([-1, 4], [-1, 2]), signature([-1, 4], [-1, 3]), "output y is FP32 [-1, 3]"),
        (signature([-1]), Signature((TensorSpec("z", "FP32", (-1,)),), ()), "inputs are z"),
        (signature([-1]), Signature(signature([-1]).inputs, ()), "outputs are "),
    ],
)
def test_one_that_does_not_is_another_model(ours: Signature, theirs: Signature, told: str) -> None:
    assert difference(ours, theirs) == told
