"""Small ONNX files made by hand, and their signatures."""

import hashlib
from pathlib import Path

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper, save

from backend.domain.ids import ModelId
from backend.domain.tensors import Signature, TensorSpec
from backend.domain.work import ModelRef
from backend.storage.ids import new_id

OPSET = 21
IR_VERSION = 10
DOUBLING = Signature((TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1, 2)),))


def write_doubling(path: Path, factor: float = 2.0) -> Path:
    """A model that multiplies [rows, 2] float32 by `factor`."""
    nodes = [helper.make_node("Mul", ["x", "factor"], ["y"])]
    constants = [numpy_helper.from_array(np.array([factor], np.float32), "factor")]
    return _write(path, nodes, constants)


def write_slow(path: Path, multiplications: int, size: int = 512) -> Path:
    """The same signature, but each run first multiplies size × size matrices `multiplications` times.

    The matrix is made from the input, so that the runtime cannot compute it beforehand. One multiplication of
    512 × 512 takes about 3 ms on one core.
    """
    count = numpy_helper.from_array(np.array(multiplications, np.int64), "count")
    return _write_looping(path, size, [], [count])


def write_slow_on_demand(path: Path, size: int = 512) -> Path:
    """As `write_slow`, but the last value of the request says how many multiplications: none for a profile's zeros."""
    last = numpy_helper.from_array(np.array([-1], np.int64), "last")
    scalar = numpy_helper.from_array(np.array([], np.int64), "scalar")
    everything = numpy_helper.from_array(np.array([-1], np.int64), "flat")
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["values"]),
        helper.make_node("Gather", ["values", "last"], ["asked"]),
        helper.make_node("Reshape", ["asked", "scalar"], ["asked_once"]),
        helper.make_node("Cast", ["asked_once"], ["count"], to=TensorProto.INT64),
    ]
    return _write_looping(path, size, nodes, [last, scalar, everything])


def _write_looping(path: Path, size: int, nodes: list[NodeProto], constants: list[TensorProto]) -> Path:
    """A doubling that multiplies matrices `count` times before, where `nodes` or `constants` give `count`."""
    shape = numpy_helper.from_array(np.array([size, size], np.int64), "shape")
    true = numpy_helper.from_array(np.array(True), "true")
    zero = numpy_helper.from_array(np.array([0.0], np.float32), "zero")
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["m_in", "m_in"], ["product"]),
            helper.make_node("Mul", ["product", "zero"], ["m_out"]),
            helper.make_node("Identity", ["go_in"], ["go_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("m_in", TensorProto.FLOAT, [size, size]),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("m_out", TensorProto.FLOAT, [size, size]),
        ],
    )
    loop = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Expand", ["sum", "shape"], ["m"]),
        helper.make_node("Loop", ["count", "true", "m"], ["m_end"], body=body),
        helper.make_node("ReduceSum", ["m_end"], ["nothing"], keepdims=0),
        helper.make_node("Mul", ["nothing", "zero"], ["still_nothing"]),
        helper.make_node("Add", ["x", "x"], ["twice"]),
        helper.make_node("Add", ["twice", "still_nothing"], ["y"]),
    ]
    return _write(path, nodes + loop, [*constants, shape, true, zero])


def reference_to(path: Path, uri: str = "models/m.onnx", name: str = "m", version: int = 1) -> ModelRef:
    """The registration of the file at `path`."""
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    return ModelRef(ModelId(new_id()), name, version, checksum, uri, DOUBLING)


def request(*rows: tuple[float, float]) -> dict[str, object]:
    """An inference request of these rows."""
    data = [value for row in rows for value in row]
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [len(rows), 2], "data": data}]}


def _write(path: Path, nodes: list[NodeProto], constants: list[TensorProto]) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 2])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    save(model, path)
    return path
