"""Megabytes per second of binary tensors through gateway and node, held against the same to the node itself."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import orjson
from onnx import TensorProto, helper

from tests.performance.bench import Bench
from tests.performance.callers import Callers
from tests.performance.rows import Row, Target

PATH = "/v2/models/echo/versions/1/infer"
TENSOR_BYTES = 1 << 20
ELEMENTS = TENSOR_BYTES // 4
MB = 1_000_000
IN_FLIGHT = 4
REQUESTS = 200
MB_PER_S = 300


def run(bench: Bench) -> Iterator[Row]:
    """Each request carries a megabyte there, and the model gives the same one back: what is counted goes one way."""
    header, body = _request()
    with bench.system() as system, tempfile.TemporaryDirectory() as folder:
        system.market.register("echo", _echo(Path(folder) / "echo.onnx"))
        endpoint, token = system.node()
        length = {"Inference-Header-Content-Length": str(len(header))}
        gateway = Callers(system.url + PATH, {**system.authorization, **length}, header + body, IN_FLIGHT, REQUESTS)
        node = Callers(endpoint + PATH, {**token, **length}, header + body, IN_FLIGHT, REQUESTS)
        per_request = TENSOR_BYTES / MB
        pairs = bench.pairs(lambda: gateway.requests_per_s() * per_request, lambda: node.requests_per_s() * per_request)
    yield Row(
        "binary_tensor",
        pairs.value,
        "MB/s",
        "MB/s to the node itself",
        pairs.reference_value,
        pairs.ratio,
        Target("value", "≥", MB_PER_S),
    )


def _request() -> tuple[bytes, bytes]:
    tensor = {
        "name": "x",
        "datatype": "FP32",
        "shape": [1, ELEMENTS],
        "parameters": {"binary_data_size": TENSOR_BYTES},
    }
    header = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
    return header, np.arange(ELEMENTS, dtype=np.float32).tobytes()


def _echo(path: Path) -> Path:
    """A model that gives back what it is given."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", ELEMENTS])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", ELEMENTS])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "echo", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
