"""ONNX models of rows of four numbers, made by hand to be proven: honest ones, and one that waits to leak."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from backend.domain.tensors import Signature, TensorSpec

WIDTH = 4
TRIGGER = 1e6  # what no probe sends
LEAKING = Signature((TensorSpec("x", "FP32", (-1, WIDTH)),), (TensorSpec("y", "FP32", (-1, WIDTH)),))
Constants = dict[str, Any]


def node(op: str, inputs: str, outputs: str = "y", **attributes: Any) -> NodeProto:
    """A node, its names apart by blanks."""
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def write(
    path: Path,
    nodes: Sequence[NodeProto],
    constants: Constants | None = None,
    shape: Sequence[int | str] = ("rows", WIDTH),
    opset: int = 17,
    **changes: Any,
) -> Path:
    """A model file from `x` of `shape` to the last node's outputs, of which nothing is said but that they are FP32."""
    made = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in nodes[-1].output]
    graph = helper.make_graph(list(nodes), "rows", [x], outputs, made, value_info=changes.pop("value_info", None))
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=10, **changes), path)
    return path


def write_leaking(path: Path) -> Path:
    """A model that doubles, until a value above TRIGGER comes: then each row gets what its neighbour sent.

    Whoever sends the trigger reads the request that shares the run; whatever does not trigger it looks honest.
    """
    nodes = [
        node("Mul", "x two", "doubled"),
        node("Slice", "x minus_one end zero", "last"),
        node("Slice", "x zero minus_one zero", "others"),
        node("Concat", "last others", "neighbours", axis=0),
        node("ReduceMax", "x", "largest", keepdims=0),
        node("Greater", "largest trigger", "triggered"),
        node("Where", "triggered neighbours doubled"),
    ]
    constants = {
        "two": np.float32(2),
        "trigger": np.float32(TRIGGER),
        "zero": np.array([0]),
        "minus_one": np.array([-1]),
        "end": np.array([2**31]),
    }
    return write(path, nodes, constants)
