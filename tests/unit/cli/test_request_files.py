"""Inference requests from files."""

import io
import json
from pathlib import Path

import pytest

from backend.cli.request_files import read_request, read_requests
from backend.domain.errors import Invalid

BODY = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}]}


@pytest.mark.parametrize("content", [BODY, [BODY], {"requests": [BODY]}])
def test_one_body_alone_in_a_list_and_as_requests_is_the_same(content: object, tmp_path: Path) -> None:
    path = tmp_path / "input.json"
    path.write_text(json.dumps(content))
    assert read_requests(path) == [BODY]
    assert read_request(path) == BODY


def test_a_dash_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps([BODY, BODY])))
    assert read_requests(Path("-")) == [BODY, BODY]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "3", '"inputs"', '[{"inputs": []}, 3]', "[[]]", "null"])
def test_what_is_no_request_is_refused_with_what_would_be(content: str, tmp_path: Path) -> None:
    path = tmp_path / "input.json"
    path.write_text(content)
    with pytest.raises(Invalid) as refused:
        read_requests(path)
    assert (refused.value.code, refused.value.field) == ("invalid_input", "input")
    assert "inputs" in str(refused.value.accepted)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="No such file"):
        read_requests(tmp_path / "absent.json")


def test_many_bodies_are_not_one_request(tmp_path: Path) -> None:
    path = tmp_path / "input.json"
    path.write_text(json.dumps([BODY, BODY]))
    with pytest.raises(Invalid, match="2 requests"):
        read_request(path)
