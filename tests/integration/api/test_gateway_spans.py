"""What a real-time request spends its time with before it is forwarded, as parts of its trace."""

from collections.abc import Iterator

import pytest

from tests.integration.api.callers import Callers
from tests.integration.api.requests import body
from tests.integration.api.supply import Supply
from tests.integration.tracing.recorded import THEIRS, TRACE, recorded, tree
from tests.otlp_collector import Collector


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Where the spans of this process arrive."""
    with recorded(monkeypatch) as found:
        yield found


def test_who_asks_and_what_they_may_are_parts_of_a_request(
    collector: Collector, callers: Callers, supply: Supply
) -> None:
    answer = callers.user.post("/v2/models/scale/infer", json=body(), headers=THEIRS)
    assert answer.status_code == 200, answer.text
    entered = "POST /v2/models/{model}/infer"
    found = tree(collector, entered, "gateway.authenticate", "gateway.limits", "inference.forward", "node.infer")
    for part in ("gateway.authenticate", "gateway.limits", "inference.forward"):
        assert found[part].parent_id == found[entered].span_id
        assert found[entered].started_ns <= found[part].started_ns <= found[part].ended_ns <= found[entered].ended_ns
    assert found["gateway.limits"].attributes["swarmex.face"] == "medium"


def test_a_key_that_is_refused_is_where_a_request_failed(collector: Collector, callers: Callers) -> None:
    wrong = {"Authorization": "Bearer swx_wrong"}
    answer = callers.stranger.post("/v2/models/scale/infer", json=body(), headers=THEIRS | wrong)
    assert (answer.status_code, answer.headers["Swarmex-Trace-Id"]) == (401, TRACE)
    found = tree(collector, "gateway.authenticate", "POST /v2/models/{model}/infer")
    refused = found["gateway.authenticate"]
    assert (refused.failed, refused.attributes["error.type"]) == (True, "unauthenticated")
    assert "gateway.limits" not in found
