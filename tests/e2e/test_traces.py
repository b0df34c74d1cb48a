"""One trace from the HTTP request to the last transfer, through every process, as a collector gets it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import httpx
import pytest

from backend.bootstrap import utc_now
from backend.domain.access import Role
from backend.services import api_keys
from tests.e2e.swarm import Swarm
from tests.market import REQUEST
from tests.otlp_collector import Collector, collecting, orphans
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.slow]

THEIRS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
INFER = "/v2/models/doubling/infer"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that every process started from now on knows."""
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield collector


@dataclass(frozen=True, slots=True)
class Traced:
    """A client of a market whose processes all tell the collector."""

    swarm: Swarm
    collector: Collector
    client: httpx.Client

    def until_told(self, trace_id: str, *names: str) -> None:
        """Wait until spans of these names belong to the trace."""
        self.swarm.until(
            lambda: set(names) <= {span.name for span in self.collector.spans(trace_id)},
            f"{names} in {[(s.service, s.name) for s in self.collector.spans()]}",
        )


@pytest.fixture
def traced(collector: Collector, swarm: Swarm) -> Iterator[Traced]:
    """An API and a node beside the swarm's agents, all of them traced."""
    market = swarm.market
    key = api_keys.create_key(market.app.uow(), utc_now(), market.buyer.account_id, Role.USER, "test")
    url = swarm.start_api()
    swarm.start_node("a", slots=4)
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key.secret}"}, timeout=PATIENCE_S) as client:
        yield Traced(swarm, collector, client)


def test_an_order_is_one_trace_from_its_request_to_its_settlement(traced: Traced) -> None:
    order = {"workload": "inference", "model": "doubling", "tier": "medium", "requests": [REQUEST]}
    placed = traced.client.post("/api/v1/workloads", json=order)
    assert placed.status_code == 201, placed.text
    trace_id = placed.headers["Swarmex-Trace-Id"]
    steps = ("POST /api/v1/workloads", "market.clear", "unit.send", "swarmex.run_unit", "orders.settle")
    traced.until_told(trace_id, *steps)
    spans = traced.collector.spans(trace_id)
    assert [span.name for span in orphans(spans)] == ["POST /api/v1/workloads"]
    by_name = {span.name: span for span in spans}
    assert [by_name[step].service for step in steps] == [
        f"swarmex-{process}" for process in ("api", "allocation", "settlement", "inference", "settlement")
    ]
    assert by_name["swarmex.run_unit"].parent_id == by_name["unit.send"].span_id
    assert by_name["swarmex.run_unit"].attributes["swarmex.outcome"] == "done"
    assert by_name["POST /api/v1/workloads"].attributes["http.response.status_code"] == 201
    assert not [span for span in spans if span.failed]
    lines = [json.loads(line) for line in (traced.swarm.folder / "a.log").read_text().splitlines()]
    assert trace_id in {line.get("trace_id") for line in lines if line["event"] == "unit.done"}


def test_a_real_time_request_is_one_trace_with_its_caller_and_its_node(traced: Traced) -> None:
    body = {"inputs": REQUEST["inputs"]}
    answer = traced.client.post(INFER, json=body, headers={"traceparent": THEIRS})
    assert answer.status_code == 200, answer.text
    trace_id = THEIRS.split("-")[1]
    assert answer.headers["Swarmex-Trace-Id"] == trace_id
    node_side = "POST /v2/models/{name}/versions/{version}/infer"
    gateway_side = "POST /v2/models/{model}/infer"
    traced.until_told(
        trace_id, gateway_side, "inference.forward", "session.open", "market.clear", "node.infer", node_side
    )
    spans = traced.collector.spans(trace_id)
    assert [(span.name, span.parent_id) for span in orphans(spans)] == [(gateway_side, THEIRS.split("-")[2])]
    by_name = {span.name: span for span in spans}
    parents = [gateway_side, "inference.forward", "node.infer", node_side]
    for parent, child in pairwise(parents):
        assert by_name[child].parent_id == by_name[parent].span_id, child
    forward = by_name["inference.forward"].attributes
    assert (forward["swarmex.model"], forward["swarmex.tier"], forward["swarmex.attempts"]) == ("doubling", "medium", 1)
    assert by_name["node.infer"].attributes["swarmex.node"] == "a"
    assert by_name[node_side].attributes["swarmex.busy_us"] > 0
    assert by_name[node_side].service == "swarmex-inference"
    told = str([span.attributes for span in traced.collector.spans()])
    assert str(traced.swarm.market.buyer.account_id) not in told
    assert "Bearer" not in told
