"""The gRPC face beside the others: its calls belong to their callers' traces, and are counted."""

import urllib.request
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tritonclient.grpc import service_pb2 as messages
from tritonclient.grpc import service_pb2_grpc as stubs

from backend.bootstrap import Swarmex
from backend.embedded.ports import free_port
from tests.integration.api.callers import TIMEOUT_S
from tests.integration.api.grpc_process import grpc_process
from tests.otlp_collector import collecting
from tests.waiting import until

THEIRS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_calls_belong_to_their_callers_traces_and_are_counted(
    market: Swarmex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port(["127.0.0.1"], None)
    monkeypatch.setenv("SWARMEX_METRICS_PORT", str(port))
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        with grpc_process(market, tmp_path / "grpc") as (_, address), grpc.insecure_channel(address) as channel:
            stub = stubs.GRPCInferenceServiceStub(channel)
            sent = (("traceparent", THEIRS),)
            live, call = stub.ServerLive.with_call(messages.ServerLiveRequest(), metadata=sent, timeout=TIMEOUT_S)
            assert live.live
            assert dict(call.trailing_metadata())["swarmex-trace-id"] == THEIRS.split("-")[1]
            with pytest.raises(grpc.RpcError) as refused:
                stub.ModelReady(messages.ModelReadyRequest(name="scale"), timeout=TIMEOUT_S)
            assert len(dict(refused.value.trailing_metadata())["swarmex-trace-id"]) == 32
            until(lambda: len(collector.spans()) == 2, "both calls are told")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT_S) as answer:
                shown = answer.read().decode()
    first, second = collector.spans()
    assert (first.service, first.trace_id, first.parent_id) == ("swarmex-grpc", *THEIRS.split("-")[1:3])
    assert (first.name, second.name) == tuple(
        f"inference.GRPCInferenceService/{method}" for method in ("ServerLive", "ModelReady")
    )
    assert (first.failed, second.failed) == (False, True)
    [calls] = [family for family in text_string_to_metric_families(shown) if family.name == "swarmex_grpc_calls"]
    counted = {
        tuple(sample.labels.values()): sample.value for sample in calls.samples if sample.name.endswith("_total")
    }
    assert counted == {("ok", "ServerLive"): 1, ("unauthenticated", "ModelReady"): 1}
