"""A model that is busy for milliseconds a row, on which a node is the bottleneck and not the way to it."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

from tests.onnx_files import IR_VERSION, OPSET

PLACES = 64  # of a row: the layers are applied to each, so that rows do not become cheaper by being joined
WIDTH = 512
LAYERS = 40  # about a quarter of a millisecond each on one core
MATRICES = 8  # that they share, so that the file is small
SEED = 0


def write_heavy(path: Path) -> Path:
    """A perceptron of LAYERS layers: [rows, PLACES, 1] float32 → [rows]."""
    chance = np.random.default_rng(SEED)
    weights = [chance.normal(0, 1 / np.sqrt(WIDTH), (WIDTH, WIDTH)).astype(np.float32) for _ in range(MATRICES)]
    constants = [numpy_helper.from_array(np.ones((1, WIDTH), np.float32), "spread")]
    constants += [numpy_helper.from_array(array, f"weights{number}") for number, array in enumerate(weights)]
    nodes, last = [helper.make_node("MatMul", ["x", "spread"], ["wide"])], "wide"
    for number in range(LAYERS):
        nodes.append(helper.make_node("MatMul", [last, f"weights{number % MATRICES}"], [f"sum{number}"]))
        nodes.append(helper.make_node("Relu", [f"sum{number}"], [f"layer{number}"]))
        last = f"layer{number}"
    nodes.append(helper.make_node("ReduceMean", [last, "axes"], ["y"], keepdims=0))
    constants.append(numpy_helper.from_array(np.array([1, 2], np.int64), "axes"))
    graph = helper.make_graph(
        nodes,
        "heavy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", PLACES, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows"])],
        constants,
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION), path)
    return path
