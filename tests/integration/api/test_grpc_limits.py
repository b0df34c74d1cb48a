"""Limits over gRPC: what keys may ask for, told as over HTTP, and the time, size and number of calls."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as messages
from tritonclient.grpc import service_pb2_grpc as stubs

from backend.bootstrap import Swarmex
from backend.domain.rates import DEFAULTS, Face
from backend.services import orders
from tests.integration.api.callers import TIMEOUT_S, Callers
from tests.integration.api.grpc_process import grpc_process
from tests.integration.api.requests import ROW
from tests.integration.api.slow_node import SlowNode
from tests.integration.api.supply import Supply
from tests.waiting import PATIENCE_S, until

LIMITS = {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "ratelimit-policy"}
# What a client of HTTP/2 begins with: its preface, and settings that change nothing.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
INFER = "/inference.GRPCInferenceService/ModelInfer"
Told = dict[str, str]


class Caller:
    """A user's calls over one connection."""

    def __init__(self, channel: grpc.Channel, callers: Callers) -> None:
        self.stub = stubs.GRPCInferenceServiceStub(channel)
        self.metadata = (("authorization", callers.user.headers["Authorization"]),)

    def told(self, method: str, request: Any, *more: tuple[str, str]) -> Told:
        """The trailing metadata of a call that is answered."""
        ask = getattr(self.stub, method).with_call
        _, call = ask(request, metadata=(*self.metadata, *more), timeout=TIMEOUT_S)
        return dict(call.trailing_metadata())

    def refusal(self, method: str, request: Any, *more: tuple[str, str]) -> tuple[grpc.StatusCode, Told]:
        """Status and trailing metadata of one that is refused."""
        with pytest.raises(grpc.RpcError) as caught:
            getattr(self.stub, method)(request, metadata=(*self.metadata, *more), timeout=TIMEOUT_S)
        return caught.value.code(), dict(caught.value.trailing_metadata())


@contextmanager
def calling(address: str, callers: Callers, **options: int) -> Iterator[Caller]:
    """Calls over a connection that nobody shares."""
    chosen = [("grpc.use_local_subchannel_pool", 1), *((f"grpc.{name}", value) for name, value in options.items())]
    with grpc.insecure_channel(address, options=chosen) as channel:
        yield Caller(channel, callers)


def row() -> Any:
    """A request of one row to model `scale`."""
    tensor = messages.ModelInferRequest.InferInputTensor(
        name="x", datatype="FP32", shape=[1, 4], contents=messages.InferTensorContents(fp32_contents=ROW)
    )
    return messages.ModelInferRequest(model_name="scale", inputs=[tensor])


def limited(callers: Callers, asked: Caller, **limits: int) -> None:
    """Set the user's limits, and wait until the process keeps to them."""
    answer = callers.admin.put(f"/api/v1/keys/{callers.user.key.key_id}/limits", json=limits)
    assert answer.status_code == 200, answer.text
    wanted = f"{limits['requests_per_minute']};w=60"
    index = messages.RepositoryIndexRequest()
    until(lambda: asked.told("RepositoryIndex", index)["ratelimit-policy"].startswith(wanted), "it has heard of them")


def test_every_call_of_a_known_caller_counts_and_tells_what_is_left(
    market: Swarmex, callers: Callers, supply: Supply, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    telling = {
        "ModelReady": messages.ModelReadyRequest(name="scale"),
        "ModelMetadata": messages.ModelMetadataRequest(name="scale"),
        "ModelConfig": messages.ModelConfigRequest(name="scale"),
        "ModelStatistics": messages.ModelStatisticsRequest(name="scale"),
        "RepositoryIndex": messages.RepositoryIndexRequest(),
        "RepositoryModelLoad": messages.RepositoryModelLoadRequest(model_name="scale"),
    }
    unload = messages.RepositoryModelUnloadRequest(model_name="scale")
    with grpc_process(market, tmp_path / "grpc") as (_, address), calling(address, callers) as asked:
        for method, request in telling.items():
            with subtests.test(method):
                assert asked.told(method, request)["ratelimit-limit"] == str(DEFAULTS[Face.API].requests_per_minute)
        status, told = asked.refusal("RepositoryModelUnload", unload)
        assert (status, told["swarmex-error-code"]) == (grpc.StatusCode.FAILED_PRECONDITION, "unload_not_offered")
        assert set(told) >= LIMITS
        served = asked.told("ModelInfer", row(), ("swarmex-tier", "large"))
        assert served["ratelimit-limit"] == str(DEFAULTS[Face.LARGE].requests_per_minute)
        assert not LIMITS & set(asked.told("ServerReady", messages.ServerReadyRequest()))

        limited(callers, asked, requests_per_minute=20)
        for method, request in (telling | {"RepositoryModelUnload": unload}).items():
            with subtests.test(f"{method}, too often"):
                until(partial(_refused, asked, method, request), "it is refused")
        status, told = asked.refusal("ModelMetadata", telling["ModelMetadata"])
        assert (status, told["swarmex-error-code"]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "rate_limited")
        assert (told["ratelimit-limit"], told["ratelimit-remaining"]) == ("20", "0")
        assert int(told["grpc-retry-pushback-ms"]) == int(told["retry-after"]) * 1_000 >= 1_000
        over_http = callers.user.get("/v2/models/scale")
        assert over_http.status_code == 429, "they are the same limits"
        assert {name.lower() for name in over_http.headers} >= LIMITS


def _refused(asked: Caller, method: str, request: Any) -> bool:
    """Whether a call is refused by now, above its caller's limit."""
    try:
        getattr(asked.stub, method)(request, metadata=asked.metadata, timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        return bool(dict(error.trailing_metadata())["swarmex-error-code"] == "rate_limited")
    return False


def _nothing_until(over: threading.Event) -> Iterator[bytes]:
    """What a client sends that has begun a call and sends nothing."""
    over.wait(PATIENCE_S)
    yield from ()


def test_a_call_has_so_much_time_to_be_sent_and_to_be_answered_and_no_more(
    market: Swarmex, callers: Callers, supply: Supply, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    limits = {"GRPC_BODY_TIMEOUT_S": 0.3, "GRPC_CALL_TIMEOUT_S": 1.5, "GRPC_METADATA_BYTES_MAX": 4_096}
    with (
        SlowNode() as node,
        grpc_process(market, tmp_path / "grpc", limits) as (_, address),
        calling(address, callers) as asked,
        grpc.insecure_channel(address) as channel,
    ):
        supply.endpoint = node.endpoint
        supply.beat()
        with subtests.test("sent too slowly"):
            with pytest.raises(grpc.RpcError) as caught:
                channel.stream_unary(INFER)(_nothing_until(node.may_answer), metadata=asked.metadata, timeout=TIMEOUT_S)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert dict(caught.value.trailing_metadata())["swarmex-error-code"] == "body_too_slow"
        with subtests.test("sent by nobody that is known"):
            with pytest.raises(grpc.RpcError) as caught:
                channel.stream_unary(INFER)(_nothing_until(node.may_answer), timeout=TIMEOUT_S)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED, "its message is not waited for"
        for what, sent in (("nothing", []), ("no such message", [b"\xff\xff"])):
            with subtests.test(what):
                with pytest.raises(grpc.RpcError) as caught:
                    channel.stream_unary(INFER)(iter(sent), metadata=asked.metadata, timeout=TIMEOUT_S)
                assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
                assert dict(caught.value.trailing_metadata())["swarmex-error-code"] == "invalid_message"
        with subtests.test("answered too slowly"):
            status, told = asked.refusal("ModelInfer", row())
            assert (status, told["swarmex-error-code"]) == (grpc.StatusCode.UNAVAILABLE, "request_timed_out")
            assert node.hung_up.wait(PATIENCE_S), "its node need not go on"
        with subtests.test("too much metadata"):
            status, _ = asked.refusal("ServerLive", messages.ServerLiveRequest(), ("note", "x" * 5_000))
            assert status is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_connection_whose_other_side_does_not_answer_is_closed(market: Swarmex, tmp_path: Path) -> None:
    limits = {"GRPC_PING_EVERY_S": 0.3, "GRPC_PING_TIMEOUT_S": 0.3}
    with grpc_process(market, tmp_path / "grpc", limits) as (_, address):
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), PATIENCE_S) as line:
            line.sendall(PREFACE)
            while line.recv(4_096):  # its settings, and pings
                continue


def _has_been_ready(states: Sequence[grpc.ChannelConnectivity], times: int) -> bool:
    return states.count(grpc.ChannelConnectivity.READY) >= times


@pytest.mark.parametrize("limit", ["GRPC_IDLE_S", "GRPC_CONNECTION_S"])
def test_a_connection_that_nobody_uses_or_that_is_old_is_closed_and_the_next_call_opens_another(
    market: Swarmex, tmp_path: Path, limit: str
) -> None:
    states: list[grpc.ChannelConnectivity] = []
    with (
        grpc_process(market, tmp_path / "grpc", {limit: 0.5}) as (_, address),
        grpc.insecure_channel(address) as channel,
    ):
        channel.subscribe(states.append)
        stub = stubs.GRPCInferenceServiceStub(channel)
        for ready in (1, 2):
            assert stub.ServerLive(messages.ServerLiveRequest(), timeout=TIMEOUT_S, wait_for_ready=True).live
            until(partial(_has_been_ready, states, ready), "it is there")
            until(lambda: states[-1] is grpc.ChannelConnectivity.IDLE, "and is closed")


def test_so_many_calls_and_connections_are_taken_at_once_and_no_more(
    market: Swarmex, callers: Callers, supply: Supply, tmp_path: Path
) -> None:
    live = messages.ServerLiveRequest()
    limits = {"GRPC_CALLS_MAX": 3, "GRPC_CONNECTIONS_MAX": 2, "GRPC_CALLS_PER_CONNECTION_MAX": 2}
    with (
        SlowNode() as node,
        grpc_process(market, tmp_path / "grpc", limits) as (_, address),
        ExitStack() as connections,
    ):
        supply.endpoint = node.endpoint
        supply.beat()
        first, second = (connections.enter_context(calling(address, callers)) for _ in range(2))

        def begun(asked: Caller) -> Any:
            running = asked.stub.ModelInfer.future(row(), metadata=asked.metadata, timeout=TIMEOUT_S)
            assert node.arrived.acquire(timeout=PATIENCE_S)
            return running

        running = [begun(first), begun(first)]
        with pytest.raises(grpc.RpcError) as caught:
            first.stub.ServerLive(live, timeout=0.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED, "it waits for a place on its connection"
        assert second.stub.ServerLive(live, timeout=TIMEOUT_S).live, "others are served meanwhile"
        with calling(address, callers) as third, pytest.raises(grpc.RpcError) as caught:
            third.stub.ServerLive(live, timeout=TIMEOUT_S)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE, "there are two connections"
        running.append(begun(second))
        status, _ = second.refusal("ServerLive", live)
        assert status is grpc.StatusCode.RESOURCE_EXHAUSTED, "the server has no place"
        node.may_answer.set()
        assert {one.result(TIMEOUT_S).model_name for one in running} == {"scale"}
        assert second.stub.ServerLive(live, timeout=TIMEOUT_S).live


def test_a_call_that_is_cancelled_costs_nothing(market: Swarmex, callers: Callers, tmp_path: Path) -> None:
    small = ("swarmex-tier", "small")
    with (
        Supply(market, callers.provider.account_id, tmp_path / "node", kind="fog") as fog,
        SlowNode() as node,
        grpc_process(market, tmp_path / "grpc") as (process, address),
        calling(address, callers) as asked,
    ):
        fog.endpoint = node.endpoint
        fog.beat()
        for leave in ("cancel", "run out of time"):
            timeout_s = TIMEOUT_S if leave == "cancel" else 1.0
            running = asked.stub.ModelInfer.future(row(), metadata=(*asked.metadata, small), timeout=timeout_s)
            assert node.arrived.acquire(timeout=PATIENCE_S)
            if leave == "cancel":
                running.cancel()
            assert node.hung_up.wait(PATIENCE_S)
            node.hung_up.clear()
        process.terminate()  # what was used is reported by then
        assert process.wait(PATIENCE_S) == 0
    placed = orders.list_orders(market.uow(), callers.user.account_id)
    assert placed
    assert [order.charged_nano for order in placed] == [0] * len(placed)
