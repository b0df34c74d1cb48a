"""What a node may answer to requests that it should not: it counts for nothing, or is an error of this node alone."""

import json
from collections.abc import Iterator

import pytest

from backend.api.limits import BODY_BYTES_MAX
from backend.domain.mail import LETTERS_MAX, MailedAnswer, pack_answers
from tests.integration.remote.machines import BINARY, Serving, bring, doubled, fetch, right
from tests.integration.remote.nodes import Remote, RemoteNode
from tests.integration.remote.test_requests import fetched_within, refused
from tests.waiting import PATIENCE_S

NOBODY = "0" * 32


@pytest.fixture
def served(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """A market that clears, and a user who asks."""
    monkeypatch.setattr("backend.gateway.changes.FAIL_CLOSED_S", PATIENCE_S)
    fetched_within(monkeypatch, 20.0)
    with Serving(remote) as running:
        yield running


def send(node: RemoteNode, content: bytes) -> tuple[int, str, str | None]:
    """Status, code and field of the answer to a message as it stands."""
    answer = node.http.post("/api/v1/node/work/requests/answer", content=content, headers=BINARY)
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["field"]


def test_only_the_node_that_fetched_a_request_answers_it_and_only_once(served: Serving) -> None:
    honest = served.remote.join("honest")
    asked = served.asking(1.0, 2.0)
    [request] = fetch(honest)
    thief = served.remote.join("thief", ask=None)
    assert fetch(thief, wait_s=0.0) == []
    assert bring(thief, right(request, 9.0, 9.0)) == 0
    assert bring(honest, right(request, 1.0, 2.0), right(request, 5.0, 5.0)) == 1
    assert bring(honest, right(request, 7.0, 7.0)) == 0
    assert asked.result().json()["outputs"][0]["data"] == [2.0, 4.0]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"garbage"),
        (200, b"[]"),
        (200, b'{"outputs":[]}'),
        (200, doubled(1.0, 2.0).replace(b"[1,2]", b"[1,3]")),
        (500, b'{"error":"broken"}'),
        (302, b""),
        (504, b""),
    ],
)
def test_an_answer_that_is_none_is_an_error_of_the_node(served: Serving, status: int, body: bytes) -> None:
    node = served.remote.join()
    asked = served.asking()
    [request] = fetch(node)
    assert bring(node, MailedAnswer(request.id, status, None, 1, body)) == 1
    assert refused(asked.result()) == (503, "node_failed")


def test_a_message_that_cannot_be_read_is_refused_and_answers_nothing(served: Serving) -> None:
    node = served.remote.join()
    asked = served.asking()
    [request] = fetch(node)
    fine = right(request)
    head = {"id": request.id, "status": 200, "size": 2}
    for content, code, field in [
        (b"", "corrupt_message", "message"),
        (b"\xff\xff\xff\xff{}", "corrupt_message", "message"),
        (message(b"{}"), "corrupt_message", "message"),
        (message(b"[" * 9_000), "corrupt_message", "message"),
        (message([1]), "corrupt_message", "message"),
        (message([head | {"id": "../x"}], b"{}"), "corrupt_message", "id"),
        (message([head | {"id": 7}], b"{}"), "corrupt_message", "id"),
        (message([head | {"status": 0}], b"{}"), "corrupt_message", "status"),
        (message([head | {"status": True}], b"{}"), "corrupt_message", "status"),
        (message([head | {"size": -1}], b"{}"), "corrupt_message", "size"),
        (message([head | {"size": 1}], b"{}"), "corrupt_message", "size"),
        (message([head | {"header_length": 3}], b"{}"), "corrupt_message", "header_length"),
        (message([head | {"busy_us": 1.5}], b"{}"), "corrupt_message", "busy_us"),
    ]:
        assert send(node, content) == (422, code, field), content[:80]
    assert send(node, pack_answers([fine] * (LETTERS_MAX + 1))) == (413, "too_large", "message")
    assert send(node, message([head | {"more": "x" * (1 << 16)}], b"{}")) == (413, "too_large", "message")
    assert send(node, bytes(BODY_BYTES_MAX + 1)) == (413, "too_large", "body")
    assert bring(node, MailedAnswer(NOBODY, 200, None, None, b"{}"), fine) == 1, "it may go on"
    assert asked.result().status_code == 200


def test_without_a_nodes_key_nothing_is_fetched_or_answered(served: Serving) -> None:
    served.remote.join()
    for path in ("poll", "answer"):
        told = served.user.post(f"/api/v1/node/work/requests/{path}", content=pack_answers([]), headers=BINARY)
        assert told.status_code == 401, path


def message(head: object, bodies: bytes = b"") -> bytes:
    """A message with a head as it stands."""
    told = head if isinstance(head, bytes) else json.dumps(head).encode()
    return len(told).to_bytes(4, "big") + told + bodies
