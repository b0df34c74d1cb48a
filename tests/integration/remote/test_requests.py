"""Real-time requests reach nodes that nobody can dial: through Redis and the node's own poll, at most once."""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis
from sqlalchemy import text

from backend.api.app import create_app
from backend.bootstrap import utc_now
from backend.domain.mail import REQUEST_BYTES_MAX
from backend.domain.orders import CloseReason
from backend.domain.tensors import HEADER_LENGTH
from backend.gateway.mail import mailbox, post, watch
from backend.gateway.mail.mailbox import Mailbox
from backend.services import audit, sessions
from tests.integration.api.once import application
from tests.integration.remote.machines import INFER, Serving, body, bring, client_of, fetch, right
from tests.integration.remote.nodes import Remote
from tests.market import ASK
from tests.unit.api.serving import serving
from tests.waiting import PATIENCE_S, until

TRIPS_PER_REQUEST = 5  # left, fetched, answered, read, and the next look
HASTE_S = 0.5
CHEAPER = ASK - 1


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is, requests are fetched in time, and gateways go on by what they know."""
    monkeypatch.setattr("backend.gateway.changes.FAIL_CLOSED_S", PATIENCE_S)
    monkeypatch.setattr("backend.gateway.leases.session.IDLE_S", PATIENCE_S)
    fetched_within(monkeypatch, 20.0)


@pytest.fixture
def served(remote: Remote, patient: None) -> Iterator[Serving]:
    """A market that clears, and a user who asks."""
    with Serving(remote) as running:
        yield running


def fetched_within(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """What is not fetched by then never is."""
    monkeypatch.setattr(mailbox, "FETCH_S", seconds)
    monkeypatch.setattr(post, "FETCH_S", seconds)


def refused(response: httpx.Response) -> tuple[int, str]:
    """Status and code of a protocol refusal."""
    return response.status_code, response.headers["Swarmex-Error-Code"]


def rows(served: Serving, query: str) -> list[Any]:
    """What the database has."""
    with served.remote.market.app.engine.connect() as connection:
        return list(connection.execute(text(query)))


def gateways_mailbox(served: Serving) -> Mailbox:
    """The mailbox of the one API process."""
    found: Mailbox = application(served.remote.market.app).state.gateway.mailbox
    return found


def waiting(served: Serving) -> int:
    """How many requests wait to be fetched."""
    app = served.remote.market.app
    with Redis.from_url(app.redis_url) as redis:
        keys = redis.keys(f"{app.settings.bus_namespace}.mail.request.*")
        return len(keys)


def test_a_request_is_answered_by_a_machine_that_nobody_can_dial_and_paid_like_any_session(
    served: Serving, tmp_path: Path
) -> None:
    served.machine(tmp_path)
    answer = served.ask(3.0, 4.0)
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [6.0, 8.0]}]
    assert answer.headers["Swarmex-Node"] == "attic"
    app = served.remote.market.app
    [lease] = rows(served, "SELECT id FROM leases")
    sessions.end(app.uow(), utc_now(), lease.id, CloseReason.SESSION_IDLE)
    sessions.settle_windows(app.uow(), utc_now())
    [order] = rows(served, "SELECT state, charged_nano FROM orders")
    assert order.state == "settled"
    assert order.charged_nano > 0
    assert audit.audit_ledger(app.uow()).ok


def test_tensors_travel_raw(served: Serving, tmp_path: Path) -> None:
    served.machine(tmp_path)
    raw = struct.pack("<2f", 1.5, -2.0)
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
    wish = {"name": "y", "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [tensor], "outputs": [wish]}).encode()
    answer = served.user.post(INFER, content=head + raw, headers={HEADER_LENGTH: str(len(head))})
    assert answer.status_code == 200, answer.text
    assert answer.content[int(answer.headers[HEADER_LENGTH]) :] == struct.pack("<2f", 3.0, -4.0)


def test_requests_at_once_are_fetched_and_answered_together_in_few_trips(served: Serving) -> None:
    node = served.remote.join()
    first = served.asking(0.0, 0.0)
    bring(node, *(right(one, 0.0, 0.0) for one in fetch(node)))
    assert first.result().status_code == 200
    asked = [served.asking(float(i), 1.0) for i in range(8)]
    until(lambda: waiting(served) == 8, "all of them wait")
    trips = gateways_mailbox(served).trips
    found = fetch(node)
    assert len(found) == 8
    assert all(one.path == "/v2/models/doubling/versions/1/infer" for one in found)
    answers = [right(one, *json.loads(one.body)["inputs"][0]["data"]) for one in found]
    assert bring(node, *answers) == 8
    assert [a.result().json()["outputs"][0]["data"] for a in asked] == [[2.0 * i, 2.0] for i in range(8)]
    assert gateways_mailbox(served).trips - trips <= 2 + 8 + 1, "one to fetch, one to answer, one to read each"


def test_a_single_request_takes_few_trips_to_redis(served: Serving, tmp_path: Path) -> None:
    served.machine(tmp_path)
    assert served.ask().status_code == 200
    before, began_s = gateways_mailbox(served).trips, time.monotonic()
    for _ in range(10):
        assert served.ask().status_code == 200
    looks = 1 + int(time.monotonic() - began_s)  # at whether machines that hold requests live: one a second
    assert gateways_mailbox(served).trips - before <= 10 * TRIPS_PER_REQUEST + looks


def test_the_nodes_poll_may_be_at_another_process_than_the_request(served: Serving, tmp_path: Path) -> None:
    with serving(create_app(served.remote.market.app)) as other:
        server = served.serve(served.remote.join(slots=2), tmp_path, other)
        assert served.ask().status_code == 200, "asked here, polled there"
        with client_of(served.remote.market, other) as there:
            assert there.post(INFER, json=body()).status_code == 200, "asked and polled there"
        server.stop(0.1)


def test_a_node_that_never_polls_loses_its_lease_and_never_runs_the_request(
    served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = served.remote.join("silent")
    fetched_within(monkeypatch, HASTE_S)
    assert refused(served.ask()) == (503, "node_unreachable")
    assert fetch(silent, wait_s=0.0) == []
    until(lambda: rows(served, "SELECT 1 FROM orders WHERE reason = 'node_lost'"), "the lease has ended")


def test_what_was_not_fetched_in_time_runs_elsewhere(
    served: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.routing.forwarding.ANOTHER_WAIT_S", PATIENCE_S)
    served.remote.join("silent", ask=CHEAPER)
    served.machine(tmp_path, "attic")
    fetched_within(monkeypatch, 1.0)
    answer = served.ask()
    assert (answer.status_code, answer.headers["Swarmex-Node"]) == (200, "attic")


def test_a_node_without_a_place_is_busy_and_keeps_its_lease(served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    node = served.remote.join()
    first = served.asking()
    [held] = fetch(node)
    fetched_within(monkeypatch, HASTE_S)
    assert refused(served.ask()) == (503, "node_busy")
    assert bring(node, right(held)) == 1
    assert first.result().status_code == 200
    assert [row.state for row in rows(served, "SELECT state FROM leases")] == ["active"]


def test_a_full_mailbox_takes_no_more(served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "WAITING_MAX", 1)
    node = served.remote.join()
    first = served.asking()
    until(lambda: waiting(served) == 1, "it waits")
    assert refused(served.ask()) == (503, "node_busy")
    bring(node, *(right(one) for one in fetch(node)))
    assert first.result().status_code == 200


def test_what_was_fetched_and_not_answered_is_an_error_and_never_run_again(
    served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application(served.remote.market.app).state.gateway.nodes, "timeout_s", 1.0)
    dies, other = served.remote.join("dies", ask=CHEAPER), served.remote.join("other")
    asked = served.asking()
    [request] = fetch(dies)
    assert refused(asked.result()) == (503, "node_failed")
    assert fetch(other, wait_s=0.0) == []
    assert fetch(dies, wait_s=0.0) == []
    until(lambda: bring(dies, right(request)) == 0, "an answer that is late counts for nothing")


def test_a_request_is_given_up_when_whoever_has_it_falls_silent(
    served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "WATCH_EVERY_S", 0.05)
    dies, other = served.remote.join("dies", ask=CHEAPER), served.remote.join("other")
    asked = served.asking()
    [request] = fetch(dies)
    served.remote.nodes.remove(dies)
    engine, silence = served.remote.market.app.engine, text("UPDATE agents SET beat_at = now() - interval '1 hour'")

    def given_up() -> bool:
        with engine.begin() as connection:  # again, should a beat have been on its way
            connection.execute(silence)
        return asked.done()

    until(given_up, "it is given up long before the time-out of a request")
    assert refused(asked.result()) == (503, "node_gone")
    assert fetch(other, wait_s=0.0) == [], "it may have run, so it is not run again"
    until(lambda: bring(dies, right(request)) == 0, "an answer that is late counts for nothing")


def test_a_request_that_takes_long_is_waited_for_while_its_node_lives(
    served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "WATCH_EVERY_S", 0.05)
    node, post = served.remote.join(), application(served.remote.market.app).state.gateway.post
    asked = served.asking()
    until(lambda: post.watch.figures().waiting == 1, "it waits")
    [request] = fetch(node)
    until(lambda: post.watch.figures().fetched == 1, "the node has it")
    bring(node, right(request))
    assert asked.result().status_code == 200
    assert (post.watch.figures().waiting, post.watch.figures().fetched) == (0, 0)


def test_a_client_that_leaves_takes_its_request_along(served: Serving) -> None:
    node = served.remote.join()
    first = served.asking()
    bring(node, *(right(one) for one in fetch(node)))
    assert first.result().status_code == 200, "there is a lease"
    with pytest.raises(httpx.ReadTimeout):
        served.ask(timeout=1.0)
    until(lambda: waiting(served) == 0, "it is withdrawn")
    assert fetch(node, wait_s=0.0) == []


def test_a_request_that_is_too_large_for_redis_is_told_so(served: Serving) -> None:
    served.remote.join()
    count = REQUEST_BYTES_MAX // 4
    raw = bytes(8 * count)
    tensor = {"name": "x", "shape": [count, 2], "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [tensor]}).encode()
    content = (head + raw)[: (8 << 20) - 1]
    rows_of = (len(content) - len(head)) // 8
    tensor |= {"shape": [rows_of, 2], "parameters": {"binary_data_size": 8 * rows_of}}
    head = json.dumps({"inputs": [tensor]}).encode()
    answer = served.user.post(INFER, content=head + bytes(8 * rows_of), headers={HEADER_LENGTH: str(len(head))})
    assert refused(answer) == (413, "too_large_for_polled_node")
    assert waiting(served) == 0


def test_a_drained_node_gets_no_more_sessions(served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    node = served.remote.join()
    assert node.http.post("/api/v1/node/drain").status_code == 200
    assert served.ask().status_code == 503
    assert fetch(node, wait_s=0.0) == []


def test_nodes_are_asked_within_the_time_out_of_the_whole_request(
    served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application(served.remote.market.app).state.gateway.nodes, "timeout_s", 2.0)
    node = served.remote.join()
    asked = served.asking()
    [request] = fetch(node)
    assert 0 < request.left_ms <= 2_000, "the node is told how much of it is left"
    bring(node, right(request))
    asked.result()
