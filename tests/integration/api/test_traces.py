"""One trace id in answers, in what an order carries on, and in what is logged meanwhile."""

import io
import json
import logging

import pytest
import structlog
from sqlalchemy import text

from backend.bootstrap import Swarmex, configure_logging
from tests.integration.api.callers import Callers
from tests.integration.api.requests import body, workload
from tests.integration.api.supply import Supply

THEIRS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_an_answer_names_the_trace_of_its_request_whatever_became_of_it(callers: Callers, supply: Supply) -> None:
    sent = {"traceparent": THEIRS}
    for answer in (
        callers.user.post("/api/v1/orders", json=workload(), headers=sent),
        callers.user.post("/api/v1/orders", json={}, headers=sent),
        callers.stranger.get("/nowhere", headers=sent),
        callers.stranger.get("/v2/models/none", headers=sent),
        callers.user.get("/v2/models/none", headers=sent),
    ):
        assert answer.headers["Swarmex-Trace-Id"] == THEIRS.split("-")[1]


@pytest.mark.parametrize("header", [None, "nonsense", THEIRS.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32)])
def test_a_request_that_names_no_trace_begins_one(callers: Callers, header: str | None) -> None:
    headers = {"traceparent": header} if header else {}
    first, second = (callers.stranger.get("/health/live", headers=headers) for _ in range(2))
    ids = {answer.headers["Swarmex-Trace-Id"] for answer in (first, second)}
    assert len(ids) == 2
    assert all(len(trace_id) == 32 and int(trace_id, 16) for trace_id in ids)


def test_orders_and_their_units_remember_the_request_that_placed_them(
    callers: Callers, supply: Supply, market: Swarmex
) -> None:
    batch = callers.user.post(
        "/api/v1/orders:batch", json={"orders": [workload(), workload()]}, headers={"traceparent": THEIRS}
    )
    assert batch.status_code < 300, batch.text
    trace_id = batch.headers["Swarmex-Trace-Id"]
    with market.engine.connect() as connection:
        kept = connection.execute(text("SELECT traceparent FROM orders")).scalars().all()
    assert len(kept) == 2
    assert len(set(kept)) == 1
    assert kept[0].split("-")[1] == trace_id == THEIRS.split("-")[1]
    shown = callers.user.get("/api/v1/orders").json()["orders"]
    assert [order["trace_id"] for order in shown] == [trace_id, trace_id]
    assert kept[0] != THEIRS  # it is the request's span that caused them, not the caller's


def test_a_bug_is_logged_under_the_ids_that_its_answer_shows(
    callers: Callers, supply: Supply, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    before, handlers = structlog.get_config(), logging.getLogger().handlers[:]
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    monkeypatch.setattr("backend.services.orders.list_orders", broken)
    monkeypatch.setattr("backend.gateway.oip.inference.forward", broken)
    try:
        configure_logging()
        asked = {"traceparent": THEIRS}
        answers = [
            callers.user.get("/api/v1/orders", headers=asked),
            callers.user.post("/v2/models/scale/infer", json=body(), headers=asked),
        ]
    finally:
        structlog.configure(**before)
        logging.getLogger().handlers[:] = handlers
    lines = [json.loads(line) for line in written.getvalue().splitlines() if line.startswith("{")]
    for answer in answers:
        assert answer.status_code == 500
        ids = answer.headers["Swarmex-Trace-Id"], answer.headers["Swarmex-Request-Id"]
        assert ids[0] == THEIRS.split("-")[1]
        told = [line for line in lines if (line.get("trace_id"), line.get("request_id")) == ids]
        assert "request_failed" in {line["event"] for line in told}
    assert {line.get("trace_id") for line in lines if line["event"] == "request_failed"} == {THEIRS.split("-")[1]}


def test_lines_that_are_logged_inside_a_request_say_which_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.messaging.tracing import CURRENT, REQUEST_ID, TraceContext

    before, handlers = structlog.get_config(), logging.getLogger().handlers[:]
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    try:
        configure_logging()
        tokens = CURRENT.set(TraceContext.parse(THEIRS)), REQUEST_ID.set("a-request")
        structlog.get_logger("ours").info("something")
        logging.getLogger("theirs").warning("else")
        CURRENT.reset(tokens[0])
        REQUEST_ID.reset(tokens[1])
        structlog.get_logger("ours").info("outside")
    finally:
        structlog.configure(**before)
        logging.getLogger().handlers[:] = handlers
    inside, theirs, outside = map(json.loads, written.getvalue().splitlines())
    for line in (inside, theirs):
        assert (line["trace_id"], line["request_id"]) == (THEIRS.split("-")[1], "a-request")
    assert "trace_id" not in outside
