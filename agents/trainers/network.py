"""A classifier of dense layers in plain numpy: its gradient, its training, and the same as an ONNX model.

Weights are a list of a matrix and a vector for each layer, float32; with none hidden it is logistic regression.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

OPSET = 17
IR_VERSION = 8
TINY = 1e-12


def first_weights(widths: Sequence[int], rng: np.random.Generator) -> list[Floats]:
    """Layers of these widths, from the features to the classes; He and others' for hidden ones, zeros for the last."""
    weights: list[Floats] = []
    for layer, (inside, outside) in enumerate(pairwise(widths), start=1):
        scale = np.sqrt(2 / inside) if layer < len(widths) - 1 else 0.0
        weights += [
            (rng.standard_normal((inside, outside)) * scale).astype(np.float32),
            np.zeros(outside, dtype=np.float32),
        ]
    return weights


def probabilities(weights: Sequence[Floats], features: Floats) -> Floats:
    """Of every class, for every row."""
    return _softmax(_layers(weights, features)[-1])


def loss_of(found: Floats, labels: Labels) -> float:
    """Mean cross-entropy of probabilities, in nats."""
    return float(-np.log(np.maximum(found[np.arange(len(labels)), labels], TINY)).mean())


def train(
    weights: Sequence[Floats],
    features: Floats,
    labels: Labels,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    proximal_mu: float,
    rng: np.random.Generator,
) -> list[Floats]:
    """Weights after mini-batch gradient descent, with FedProx's pull of strength `proximal_mu` to where they began."""
    trained = [one.copy() for one in weights]
    for _ in range(epochs):
        rows = rng.permutation(len(labels))
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            slopes = _gradient(trained, features[batch], labels[batch])
            for now, slope, began in zip(trained, slopes, weights, strict=True):
                pull = np.float32(proximal_mu) * (now - began) if proximal_mu else np.float32(0)
                np.subtract(now, np.float32(learning_rate) * (slope + pull), out=now)
    return trained


def to_onnx(weights: Sequence[Floats], mean: float, deviation: float) -> bytes:
    """A model of input `x`, from which it takes `mean` and `deviation` first, with `label` and `probabilities`."""
    import onnx  # slow to import, and only needed here
    from onnx import TensorProto, helper, numpy_helper

    fixed = [
        numpy_helper.from_array(np.array([value], dtype=np.float32), name)
        for name, value in (("mean", mean), ("deviation", deviation))
    ]
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["layer0"]),
    ]
    count = len(weights) // 2
    for place in range(count):
        matrix, vector = f"matrix{place}", f"vector{place}"
        fixed += [
            numpy_helper.from_array(np.ascontiguousarray(weights[2 * place]), matrix),
            numpy_helper.from_array(np.ascontiguousarray(weights[2 * place + 1]), vector),
        ]
        last = place == count - 1
        made = "scores" if last else f"sum{place}"
        nodes.append(helper.make_node("Gemm", [f"layer{place}", matrix, vector], [made]))
        if not last:
            nodes.append(helper.make_node("Relu", [made], [f"layer{place + 1}"]))
    nodes += [
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", weights[0].shape[0]])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", weights[-1].shape[0]]),
        ],
        fixed,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _layers(weights: Sequence[Floats], features: Floats) -> list[Floats]:
    """What goes into each layer, and what comes out of the last."""
    values = [features]
    for place in range(0, len(weights), 2):
        out = values[-1] @ weights[place] + weights[place + 1]
        values.append(out if place + 2 == len(weights) else np.maximum(out, 0))
    return values


def _gradient(weights: Sequence[Floats], features: Floats, labels: Labels) -> list[Floats]:
    values = _layers(weights, features)
    slope = _softmax(values[-1])
    slope[np.arange(len(labels)), labels] -= 1
    slope /= np.float32(len(labels))
    gradient: list[Floats] = []
    for place in range(len(weights) - 2, -1, -2):
        inputs = values[place // 2]
        gradient = [inputs.T @ slope, slope.sum(axis=0), *gradient]
        if place:
            slope = (slope @ weights[place].T) * (inputs > 0)
    return gradient


def _softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)
