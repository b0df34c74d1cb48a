"""One line per request, with ids and without secrets or bodies."""

from collections.abc import MutableMapping, Sequence
from typing import Any

import structlog

from tests.integration.api.callers import Callers
from tests.integration.api.requests import workload
from tests.integration.api.supply import Supply
from tests.waiting import until

FIELDS = {
    "event",
    "log_level",
    "request_id",
    "trace_id",
    "method",
    "route",
    "status",
    "ms",
    "caller_account",
    "caller_key",
    "about",
}


def written(lines: Sequence[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    return [line for line in lines if line["event"] == "request"]


def test_every_request_leaves_one_line_that_names_it_and_its_caller(callers: Callers, supply: Supply) -> None:
    with structlog.testing.capture_logs() as lines:
        placed = callers.user.post("/api/v1/orders", json=workload(), headers={"Idempotency-Key": "hidden-key"})
        shown = callers.user.get(f"/api/v1/orders/{placed.json()['id']}")
        callers.user.get("/api/v1/orders?unused=hidden-query")
        callers.stranger.get("/health/live", headers={"Authorization": "Bearer swx_hidden"})
        callers.stranger.get("/nowhere/hidden-path")
        # A line is written when all is sent, which may be after the client has it.
        until(lambda: len(written(lines)) == 5, "all are written")
    requests = written(lines)
    assert [(line["route"], line["status"]) for line in requests] == [
        ("/api/v1/orders", 201),
        ("/api/v1/orders/{order_id}", 200),
        ("/api/v1/orders", 422),
        ("/health/live", 200),
        ("unknown", 404),
    ]
    assert all(set(line) == FIELDS for line in requests)
    assert requests[0]["caller_account"] == str(callers.user.account_id)
    assert requests[1]["about"] == {"order_id": placed.json()["id"]}
    assert requests[1]["request_id"] == shown.headers["Swarmex-Request-Id"]
    assert [line["log_level"] for line in requests] == ["info", "info", "info", "debug", "info"]
    assert "hidden" not in str(lines)
    assert callers.user.key.secret not in str(lines)
    assert "[1.0, 2.0" not in str(lines)
