"""The gRPC face with Triton's unmodified client: every datatype, refusals, receipts, time-outs and cancellation."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from sqlalchemy import text
from tritonclient.grpc import service_pb2 as messages
from tritonclient.grpc import service_pb2_grpc as stubs
from tritonclient.utils import InferenceServerException

from backend.bootstrap import Swarmex
from backend.domain.tensors import DATATYPES
from tests.integration.api.callers import TIMEOUT_S, Callers
from tests.integration.api.every_datatype import inputs, register_every, same, values
from tests.integration.api.grpc_process import ADDRESS_FILE, MODULE, environment, grpc_process
from tests.integration.api.requests import ROW
from tests.integration.api.slow_node import SlowNode
from tests.integration.api.supply import ASK_NANO, Supply
from tests.waiting import PATIENCE_S

CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip


@pytest.fixture
def served(market: Swarmex, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The process, and where it answers."""
    with grpc_process(market, tmp_path / "grpc") as running:
        yield running


@pytest.fixture
def client(served: tuple[subprocess.Popen[bytes], str]) -> Iterator[triton.InferenceServerClient]:
    """Triton's client, as it comes."""
    with triton.InferenceServerClient(served[1]) as made:
        yield made


@pytest.fixture
def stub(served: tuple[subprocess.Popen[bytes], str]) -> Iterator[Any]:
    """The protocol's own stub, for what the client does not send or show."""
    with grpc.insecure_channel(served[1]) as channel:
        yield stubs.GRPCInferenceServiceStub(channel)


def bearer(callers: Callers, **more: str) -> dict[str, str]:
    """The user's key and more metadata."""
    return {"authorization": callers.user.headers["Authorization"], **more}


def row(**changes: Any) -> Any:
    """A request of one row to model `scale`, typed."""
    tensor = messages.ModelInferRequest.InferInputTensor(
        name="x", datatype="FP32", shape=[1, 4], contents=messages.InferTensorContents(fp32_contents=ROW)
    )
    return messages.ModelInferRequest(**({"model_name": "scale", "inputs": [tensor]} | changes))


def test_every_datatype_comes_back_as_it_was_sent(
    served: tuple[subprocess.Popen[bytes], str], client: triton.InferenceServerClient, stub: Any, market: Swarmex,
    callers: Callers, supply: Supply, tmp_path: Path, subtests: pytest.Subtests,
) -> None:  # fmt: skip
    every = register_every(market, tmp_path)
    answer = client.infer(every, inputs(triton), headers=bearer(callers), request_id="seven")
    assert answer.get_response().id == "seven"

    async def asked_asynchronously() -> Any:
        async with triton_aio.InferenceServerClient(served[1]) as made:
            return await asyncio.gather(
                *(made.infer(every, inputs(triton_aio), headers=bearer(callers)) for _ in range(2))
            )

    answers = {"raw": answer, **dict(zip(("aio", "aio again"), asyncio.run(asked_asynchronously()), strict=True))}
    typed = register_every(market, tmp_path, "typed", CONTENTS)
    request = messages.ModelInferRequest(model_name=typed)
    for name, kind in CONTENTS.items():
        tensor = request.inputs.add(name=f"in_{name}", datatype=name, shape=[2, 3])
        getattr(tensor.contents, kind).extend(values(name).ravel().tolist())
    answers["typed"] = triton.InferResult(stub.ModelInfer(request, metadata=tuple(bearer(callers).items())))
    for way, found in answers.items():
        for name in CONTENTS if way == "typed" else DATATYPES:
            with subtests.test(f"{name}, {way}"):
                assert same(name, found.as_numpy(f"out_{name}"))

    only = [triton.InferRequestedOutput("out_INT8")]
    chosen = client.infer(every, inputs(triton), outputs=only, headers=bearer(callers)).get_response()
    assert [output.name for output in chosen.outputs] == ["out_INT8"]
    assert chosen.id == ""


def test_the_receipt_comes_in_trailing_metadata_and_each_tier_has_its_session(
    stub: Any, callers: Callers, supply: Supply
) -> None:
    trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-00"}
    metadata = bearer(callers, **{"swarmex-tier": "large", "swarmex-limit": "1"}) | trace
    answer, call = stub.ModelInfer.with_call(row(id="a"), metadata=tuple(metadata.items()), timeout=TIMEOUT_S)
    told = dict(call.trailing_metadata())
    assert (answer.model_name, answer.model_version, answer.id) == ("scale", "1", "a")
    assert triton.InferResult(answer).as_numpy("y").tolist() == [[2 * x for x in ROW]]
    assert told["swarmex-node"] == supply.node.name
    assert told["swarmex-price"] == f"{ASK_NANO / 1e9:.9f}"
    assert told["swarmex-trace-id"] == "a" * 32
    assert {"swarmex-lease", "swarmex-charge", "swarmex-request-id", "ratelimit-limit"} <= set(told)
    other_tier = tuple(bearer(callers, **{"swarmex-tier": "medium"}).items())
    _, call = stub.ModelInfer.with_call(row(), metadata=other_tier, timeout=TIMEOUT_S)
    assert dict(call.trailing_metadata())["swarmex-lease"] != told["swarmex-lease"]


def test_refusals_have_the_status_of_their_family_and_their_code(
    stub: Any, callers: Callers, supply: Supply, subtests: pytest.Subtests
) -> None:
    mine = bearer(callers)
    poor = {"authorization": callers.provider.headers["Authorization"]}
    narrow = messages.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 3])
    typed = messages.InferTensorContents(fp32_contents=ROW)
    shared = messages.ModelInferRequest.InferInputTensor(
        name="x", datatype="FP32", shape=[1, 4],
        parameters={"shared_memory_region": messages.InferParameter(string_param="r")},
    )  # fmt: skip
    twice = messages.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 4], contents=typed)
    wrong = messages.ModelInferRequest.InferInputTensor(
        name="x", datatype="FP32", shape=[1, 4], contents=messages.InferTensorContents(int_contents=[1, 2, 3, 4])
    )
    raw = b"\0" * 16
    cases: list[tuple[str, Any, dict[str, str], grpc.StatusCode, str]] = [
        ("no key", row(), {}, grpc.StatusCode.UNAUTHENTICATED, "unauthenticated"),
        ("wrong key", row(), {"authorization": "Bearer swx_no"}, grpc.StatusCode.UNAUTHENTICATED, "unauthenticated"),
        ("model", row(model_name="nobody"), mine, grpc.StatusCode.NOT_FOUND, "unknown_model"),
        ("version", row(model_version="7"), mine, grpc.StatusCode.NOT_FOUND, "unknown_model_version"),
        ("tier", row(), mine | {"swarmex-tier": "huge"}, grpc.StatusCode.INVALID_ARGUMENT, "invalid_tier"),
        ("limit", row(), mine | {"swarmex-limit": "0.000000001"}, grpc.StatusCode.INVALID_ARGUMENT,
         "limit_below_market"),
        ("shape", row(inputs=[narrow]), mine, grpc.StatusCode.INVALID_ARGUMENT, "invalid_tensor"),
        ("kind", row(inputs=[wrong]), mine, grpc.StatusCode.INVALID_ARGUMENT, "invalid_tensor"),
        ("twice", row(inputs=[twice], raw_input_contents=[raw]), mine, grpc.StatusCode.INVALID_ARGUMENT,
         "invalid_tensor"),
        ("too few", row(raw_input_contents=[raw, raw]), mine, grpc.StatusCode.INVALID_ARGUMENT, "invalid_tensor"),
        ("shared", row(inputs=[shared], raw_input_contents=[raw]), mine, grpc.StatusCode.INVALID_ARGUMENT,
         "shared_memory_not_offered"),
        ("raw only", row(inputs=[messages.ModelInferRequest.InferInputTensor(name="x", datatype="FP16", shape=[1, 4])]),
         mine, grpc.StatusCode.INVALID_ARGUMENT, "invalid_tensor"),
        ("no money", row(), poor, grpc.StatusCode.FAILED_PRECONDITION, "insufficient_funds"),
    ]  # fmt: skip
    for case, request, metadata, status, code in cases:
        with subtests.test(case):
            with pytest.raises(grpc.RpcError) as caught:
                stub.ModelInfer(request, metadata=tuple(metadata.items()), timeout=TIMEOUT_S)
            assert caught.value.code() == status, caught.value.details()
            assert dict(caught.value.trailing_metadata())["swarmex-error-code"] == code
            assert caught.value.details()
    large = row(raw_input_contents=[b"\0" * (9 << 20)])
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(large, metadata=tuple(mine.items()), timeout=TIMEOUT_S)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_what_is_told_of_servers_and_models_is_what_http_tells(
    client: triton.InferenceServerClient, callers: Callers, supply: Supply
) -> None:
    headers = bearer(callers)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert "binary_tensor_data" in client.get_server_metadata().extensions
    assert client.is_model_ready("scale", headers=headers)
    about = client.get_model_metadata("scale", headers=headers, as_json=True)
    assert about == callers.user.get("/v2/models/scale").json() | {
        side: [{"name": name, "datatype": "FP32", "shape": ["-1", "4"]}]
        for side, name in (("inputs", "x"), ("outputs", "y"))
    }
    config = client.get_model_config("scale", headers=headers).config
    assert (config.name, config.backend, config.input[0].data_type) == ("scale", "onnxruntime", 11)
    assert list(config.output[0].dims) == [-1, 4]
    [entry] = client.get_model_repository_index(headers=headers).models
    assert (entry.name, entry.version, entry.state) == ("scale", "1", "READY")
    client.load_model("scale", headers=headers)
    refusals: list[Callable[[], object]] = [
        lambda: client.unload_model("scale", headers=headers),
        lambda: client.load_model("nobody", headers=headers),
        lambda: client.get_model_metadata("scale"),
        lambda: client.register_system_shared_memory("r", "/r", 8, headers=headers),
    ]
    for refused in refusals:
        with pytest.raises(InferenceServerException):
            refused()
    tensor = triton.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(values("FP32").reshape(-1)[:4].reshape(1, 4))
    client.infer("scale", [tensor], headers=headers)
    [totals] = client.get_inference_statistics("scale", headers=headers).model_stats
    assert (totals.inference_count, totals.inference_stats.success.count) == (1, 1)
    assert totals.inference_stats.compute_infer.ns > 0


def test_whoever_cancels_or_runs_out_of_time_takes_the_request_off_the_node(
    stub: Any, callers: Callers, supply: Supply
) -> None:
    with SlowNode() as node:
        supply.endpoint = node.endpoint
        supply.beat()
        metadata = tuple(bearer(callers).items())
        running = stub.ModelInfer.future(row(), metadata=metadata)
        assert node.arrived.acquire(timeout=PATIENCE_S)
        running.cancel()
        assert node.hung_up.wait(PATIENCE_S)
        node.hung_up.clear()
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(row(), metadata=metadata, timeout=0.5)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert node.hung_up.wait(PATIENCE_S)


def test_it_ends_in_good_order_its_sessions_with_it_and_takes_its_address_back(
    served: tuple[subprocess.Popen[bytes], str], stub: Any, market: Swarmex, callers: Callers, supply: Supply,
    tmp_path: Path,
) -> None:  # fmt: skip
    process, _ = served
    stub.ModelInfer(row(), metadata=tuple(bearer(callers).items()), timeout=TIMEOUT_S)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert not (tmp_path / "grpc" / ADDRESS_FILE).exists()
    with market.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM leases WHERE state = 'active'")).scalar_one() == 0


def test_a_second_server_on_the_same_folder_keeps_its_own_address(
    served: tuple[subprocess.Popen[bytes], str], tmp_path: Path
) -> None:
    process, _ = served
    (tmp_path / "grpc" / ADDRESS_FILE).write_text("127.0.0.1:1\n")  # as a later server would
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 0
    assert (tmp_path / "grpc" / ADDRESS_FILE).read_text() == "127.0.0.1:1\n"


def test_a_port_that_is_taken_is_an_error_with_a_reason(market: Swarmex, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told = environment(market, tmp_path) | {"SWARMEX_GRPC_PORT": port}
        for command in (["backend.cli", "grpc", "--port", port], [MODULE]):
            ended = subprocess.run(
                [sys.executable, "-m", *command], env=told, capture_output=True, check=False, timeout=PATIENCE_S
            )
            assert ended.returncode == 1
            assert b"gRPC cannot listen on 127.0.0.1 port " + port.encode() in ended.stderr
