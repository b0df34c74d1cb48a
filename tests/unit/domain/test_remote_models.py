"""Documents that name a model elsewhere."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain import remote_models
from backend.domain.errors import Invalid
from backend.domain.remote_models import FORMAT, RemoteModel, is_remote, parse_remote
from backend.domain.tensors import Signature, TensorSpec
from backend.domain.work import Profile

DOCUMENT: dict[str, Any] = {
    "format": FORMAT,
    "url": "http://GPU-1:8000/",
    "model": "digits",
    "version": "3",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 64]}],
    "outputs": [{"name": "y", "datatype": "INT64", "shape": [-1]}],
    "profile": {"us_per_call": 100, "us_per_row": 5},
}


def written(**changes: Any) -> bytes:
    return json.dumps({name: value for name, value in (DOCUMENT | changes).items() if value != "left out"}).encode()


def test_a_document_names_a_server_a_model_and_what_it_takes() -> None:
    model = parse_remote(written())
    signature = Signature((TensorSpec("x", "FP32", (-1, 64)),), (TensorSpec("y", "INT64", (-1,)),))
    assert model == RemoteModel("http://gpu-1:8000", "digits", "3", signature, Profile(100, 5))
    assert model.host == "gpu-1:8000"
    assert model.path == "/v2/models/digits/versions/3"


def test_without_a_version_the_servers_newest_is_meant() -> None:
    assert parse_remote(written(version="left out")).path == "/v2/models/digits"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", "onnx"),
        ("url", "left out"),
        ("url", "ftp://gpu:21"),
        ("url", "http://gpu"),
        ("url", "http://gpu:99999"),
        ("url", "http://user:password@gpu:80"),
        ("url", "http://gpu:80/elsewhere"),
        ("url", "http://gpu:80/?q=1"),
        ("url", "http://gpu:80/#f"),
        ("url", "http://[gpu:80"),
        ("url", "http://gpu:0"),
        ("url", "HTTP://gpu:80 "),
        ("url", 8000),
        ("url", "http://g\u00fc:80"),
        ("url", "http://" + "g" * 300 + ":80"),
        ("model", "left out"),
        ("model", "../admin"),
        ("model", "a/b"),
        ("version", 3),
        ("version", "latest"),
        ("inputs", "left out"),
        ("inputs", []),
        ("inputs", ["x"]),
        ("inputs", [DOCUMENT["inputs"][0]] * 2),
        ("inputs", [DOCUMENT["inputs"][0] | {"datatype": "FP8"}]),
        ("inputs", [DOCUMENT["inputs"][0] | {"shape": [0]}]),
        ("inputs", [DOCUMENT["inputs"][0] | {"shape": [True]}]),
        ("inputs", [DOCUMENT["inputs"][0] | {"shape": [1] * 17}]),
        ("inputs", [DOCUMENT["inputs"][0] | {"shape": None}]),
        ("outputs", [{"name": 1}]),
        ("profile", "left out"),
        ("profile", {"us_per_call": 1}),
        ("profile", {"us_per_call": 0, "us_per_row": 1}),
        ("profile", {"us_per_call": 1.5, "us_per_row": 1}),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_field(field: str, value: object) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_remote(written(**{field: value}))
    assert refusal.value.code == "invalid_remote_model"
    assert (refusal.value.field or "").startswith(field)


@pytest.mark.parametrize("document", [b"", b"[]", b"{", b"null", b"[" * 60_000, b"{" + b" " * 70_000])
def test_what_is_no_such_document_is_refused(document: bytes) -> None:
    with pytest.raises(Invalid, match="no remote model"):
        parse_remote(document)


@given(st.binary(max_size=200))
def test_whatever_the_bytes_they_are_read_or_refused(document: bytes) -> None:
    with pytest.raises(Invalid):
        parse_remote(document)


def test_a_document_is_told_from_a_model_file_by_its_first_bytes() -> None:
    assert is_remote(b' \n{"format": 1}')
    assert not is_remote(b"\x08\x0a\x12")
    assert not is_remote(b"")


def test_no_document_is_larger_than_the_limit() -> None:
    assert len(written()) < remote_models.DOCUMENT_BYTES_MAX
