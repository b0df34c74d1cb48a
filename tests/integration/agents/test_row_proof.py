"""Requests of several users share a run only where the model's graph proves that no row can see another."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import NodeProto, TensorProto, helper, numpy_helper

from agents.engines.base import InferenceFailed, ModelUnusable
from agents.engines.onnx import OnnxEngine
from agents.engines.row_proof import rows_keep_apart
from agents.inference.joining import run_joined
from agents.inference.models import LoadedModels
from agents.inference.warm_up import warm_up
from agents.model_cache import ModelCache
from backend.domain.ids import ModelId
from backend.domain.work import ModelRef
from backend.storage.ids import new_id
from backend.storage.objects import ObjectStore
from tests.row_models import LEAKING, TRIGGER, WIDTH, Constants, node, write, write_leaking

F32, I64 = np.float32, np.int64
IMAGES = ("rows", 2, 4, 4)
RNG = np.random.default_rng(7)
SQUARE = RNG.normal(size=(WIDTH, WIDTH)).astype(F32)
KERNEL = RNG.normal(size=(3, 2, 2, 2)).astype(F32)

APART: dict[str, tuple[list[NodeProto], Constants, tuple[int | str, ...]]] = {
    "a layer": (
        [node("MatMul", "x w", "a"), node("Add", "a b", "c"), node("Relu", "c")],
        {"w": SQUARE, "b": np.ones(WIDTH, F32)},
        ("rows", WIDTH),
    ),
    "a layer in one": ([node("Gemm", "x w b", transB=1)], {"w": SQUARE, "b": np.ones(WIDTH, F32)}, ("rows", WIDTH)),
    "chances": ([node("Softmax", "x")], {}, ("rows", WIDTH)),
    "a sum of each row": ([node("ReduceSum", "x axes")], {"axes": np.array([-1])}, ("rows", WIDTH)),
    "a norm": ([node("LayerNormalization", "x s")], {"s": np.ones(WIDTH, F32)}, ("rows", WIDTH)),
    "the best class": (
        [node("ArgMax", "x", "a", axis=1, keepdims=0), node("Cast", "a", to=TensorProto.FLOAT)],
        {},
        ("rows", WIDTH),
    ),
    "the best two": ([node("TopK", "x k", "y at"), node("Relu", "y", "z")], {"k": np.array([2])}, ("rows", WIDTH)),
    "a shape by the first axis": ([node("Reshape", "x to")], {"to": np.array([0, 2, 2])}, ("rows", WIDTH)),
    "a shape by the other axes": ([node("Reshape", "x to")], {"to": np.array([-1, 2, 2])}, ("rows", WIDTH)),
    "columns": ([node("Gather", "x at", axis=1)], {"at": np.array([3, 0])}, ("rows", WIDTH)),
    "halves": (
        [node("Split", "x", "a b", axis=1), node("Concat", "b a", axis=1)],
        {},
        ("rows", WIDTH),
    ),
    "attention": (
        [
            node("Transpose", "x", "t", perm=[0, 1, 3, 2]),
            node("MatMul", "x t", "s"),
            node("Softmax", "s", "p"),
            node("MatMul", "p x"),
        ],
        {},
        IMAGES,
    ),
    "a picture": (
        [
            node("Conv", "x k", "a"),
            node("BatchNormalization", "a one zero zero one", "b"),
            node("MaxPool", "b", "c", kernel_shape=[2, 2]),
            node("GlobalAveragePool", "c", "d"),
            node("Flatten", "d"),
        ],
        {"k": KERNEL, "one": np.ones(3, F32), "zero": np.zeros(3, F32)},
        IMAGES,
    ),
    "a table": ([helper.make_node("Normalizer", ["x"], ["y"], domain="ai.onnx.ml", norm="L2")], {}, ("rows", WIDTH)),
    "weights that are turned first": (
        [node("Transpose", "w", "t"), node("MatMul", "x t")],
        {"w": SQUARE},
        ("rows", WIDTH),
    ),
    "margins": ([node("Pad", "x by")], {"by": np.array([0, 1, 0, 1])}, ("rows", WIDTH)),
}
MIXED: dict[str, tuple[list[NodeProto], Constants, tuple[int | str, ...]]] = {
    "a sum over rows": ([node("ReduceSum", "x axes")], {"axes": np.array([0])}, ("rows", WIDTH)),
    "a sum over everything": ([node("ReduceMean", "x", keepdims=0)], {}, ("rows", WIDTH)),
    "the row before": ([node("CumSum", "x axis")], {"axis": np.array(0)}, ("rows", WIDTH)),
    "chances over rows": ([node("Softmax", "x", axis=0)], {}, ("rows", WIDTH)),
    "chances of a line": ([node("Softmax", "x")], {}, ("rows",)),
    "rows for columns": ([node("Transpose", "x")], {}, ("rows", WIDTH)),
    "rows times rows": ([node("MatMul", "w x")], {"w": SQUARE}, ("rows", WIDTH)),
    "a Gram matrix": ([node("Transpose", "x", "t", perm=[1, 0]), node("MatMul", "x t")], {}, ("rows", WIDTH)),
    "one long row": ([node("Flatten", "x", axis=0)], {}, ("rows", WIDTH)),
    "half a row each": ([node("Reshape", "x to")], {"to": np.array([-1, 2])}, ("rows", WIDTH)),
    "two rows in one": ([node("Reshape", "x to")], {"to": np.array([-1, 8])}, ("rows", WIDTH)),
    "a place in another row": ([node("Gather", "x at", axis=0)], {"at": np.array([0])}, ("rows", WIDTH)),
    "all but the first": (
        [node("Slice", "x a b c")],
        {"a": np.array([1]), "b": np.array([2**31]), "c": np.array([0])},
        ("rows", WIDTH),
    ),
    "a factor for the second row": ([node("Mul", "x f")], {"f": np.ones((3, WIDTH), F32)}, ("rows", WIDTH)),
    "a row against columns": (
        [node("ReduceSum", "x axes", "s", keepdims=0), node("Add", "x s")],
        {"axes": np.array([1])},
        ("rows", WIDTH),
    ),
    "a scale of all that is sent": ([node("DynamicQuantizeLinear", "x", "y s z")], {}, ("rows", WIDTH)),
    "how many there are": ([node("Shape", "x", "n"), node("Cast", "n", to=TensorProto.FLOAT)], {}, ("rows", WIDTH)),
    "places in the whole": ([node("MaxPool", "x", "y at", kernel_shape=[2, 2])], {}, IMAGES),
    "dice": ([node("RandomNormalLike", "x")], {}, ("rows", WIDTH)),
    "an answer to nobody": ([node("Identity", "c")], {"c": np.ones((1, WIDTH), F32)}, ("rows", WIDTH)),
    "somebody's own operator": (
        [helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")],
        {},
        ("rows", WIDTH),
    ),
    "a number of rows that is set": ([node("Relu", "x")], {}, (2, WIDTH)),
}


@pytest.mark.parametrize("name", APART)
def test_what_keeps_rows_apart_is_proven_and_does(name: str, tmp_path: Path) -> None:
    nodes, constants, shape = APART[name]
    path = write(tmp_path / "m.onnx", nodes, constants, shape)
    assert rows_keep_apart(path)
    model = OnnxEngine().load(path)
    sent = RNG.normal(size=(5, *map(int, shape[1:]))).astype(F32)
    together = model.run({"x": sent})
    for row in range(len(sent)):
        for output, values in model.run({"x": sent[row : row + 1]}).items():
            np.testing.assert_allclose(together[output][row], values[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MIXED)
def test_what_may_mix_rows_is_not_proven(name: str, tmp_path: Path) -> None:
    nodes, constants, shape = MIXED[name]
    assert not rows_keep_apart(write(tmp_path / "m.onnx", nodes, constants, shape))


def test_a_model_that_waits_for_a_trigger_fools_the_probe_and_not_the_proof(tmp_path: Path) -> None:
    path = write_leaking(tmp_path / "leaking.onnx")
    model = OnnxEngine().load(path)
    assert warm_up(model, LEAKING).joins, "it behaves while it is watched"
    secret, attack = np.full((1, WIDTH), 42.0, F32), np.full((1, WIDTH), 2 * TRIGGER, F32)
    leaked = run_joined(model, LEAKING, [{"x": secret}, {"x": attack}])[1]
    assert not isinstance(leaked, Exception)
    assert leaked.outputs["y"].tolist() == secret.tolist(), "or this test would prove nothing"
    assert not rows_keep_apart(path)


def test_a_node_joins_no_requests_for_a_model_that_may_leak(tmp_path: Path) -> None:
    models = LoadedModels(
        ModelCache(tmp_path / "cache", store := ObjectStore((tmp_path / "objects").as_uri())), OnnxEngine()
    )
    joins = []
    honest = write(tmp_path / "honest.onnx", [node("Mul", "x two")], {"two": F32(2)})
    for path in (write_leaking(tmp_path / "leaking.onnx"), honest):
        store.put_file(path, f"models/{path.name}")
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        ref = ModelRef(ModelId(new_id()), path.stem, 1, checksum, f"models/{path.name}", LEAKING)
        joins.append(models.get(ref).joins)
    assert joins == [False, True]


def test_what_a_file_says_of_its_own_shapes_is_not_believed(tmp_path: Path) -> None:
    lie = helper.make_tensor_value_info("a", TensorProto.FLOAT, ["rows", 2])
    nodes = [node("Relu", "x", "a"), node("Reshape", "a to", "b"), node("Reshape", "b back")]
    constants = {"to": np.array([-1, 2]), "back": np.array([-1, WIDTH])}
    assert not rows_keep_apart(write(tmp_path / "m.onnx", nodes, constants, value_info=[lie]))


def constant(**attributes: Any) -> NodeProto:
    """A constant of these attributes, in this order."""
    made = helper.make_node("Constant", [], ["c"])
    made.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
    return made


def test_a_constant_is_read_as_the_engine_reads_it(tmp_path: Path) -> None:
    right, wrong = numpy_helper.from_array(np.array([0, -1])), numpy_helper.from_array(np.array([1, -1]))
    shaped = node("Reshape", "x c")
    assert rows_keep_apart(write(tmp_path / "right.onnx", [constant(value=right), shaped]))
    assert not rows_keep_apart(write(tmp_path / "wrong.onnx", [constant(value=wrong), shaped]))
    both = constant(value_ints=[1, -1], value=right)
    assert not rows_keep_apart(write(tmp_path / "both.onnx", [both, shaped]))
    misnamed = constant(value_float=numpy_helper.from_array(np.zeros(1, np.int64)))
    nodes = [misnamed, node("Gather", "x c", "g", axis=1), node("Squeeze", "g one", "s"), node("Add", "s g")]
    assert not rows_keep_apart(write(tmp_path / "misnamed.onnx", nodes, {"one": np.array([1])}))


def test_sizes_below_one_are_free_for_the_engine_and_prove_nothing(tmp_path: Path) -> None:
    flat = [node("Reshape", "x to")]
    assert rows_keep_apart(write(tmp_path / "known.onnx", flat, {"to": np.array([-1, 6])}, ("rows", 3, 2)))
    assert not rows_keep_apart(write(tmp_path / "free.onnx", flat, {"to": np.array([-1, 6])}, ("rows", -3, -2)))


def test_what_may_be_sent_in_its_place_is_not_fixed(tmp_path: Path) -> None:
    path = write(tmp_path / "default.onnx", [node("Reshape", "x to")], {"to": np.array([0, -1])})
    assert rows_keep_apart(path)
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("to", TensorProto.INT64, [2]))
    onnx.save(model, path)
    assert not rows_keep_apart(path)


def test_a_standard_name_for_a_function_of_its_own_is_not_believed(tmp_path: Path) -> None:
    body = [helper.make_node("CumSum", ["i", "axis"], ["o"])]
    axis = helper.make_node("Constant", [], ["axis"], value_int=0)
    relu = helper.make_function("", "Relu", ["i"], ["o"], [axis, *body], [helper.make_opsetid("", 17)])
    assert not rows_keep_apart(write(tmp_path / "m.onnx", [node("Relu", "x")], functions=[relu]))


@pytest.mark.parametrize("opset", [11, 12])
def test_operators_of_older_meanings_are_not_judged(tmp_path: Path, opset: int) -> None:
    assert not rows_keep_apart(write(tmp_path / "m.onnx", [node("Softmax", "x")], opset=opset))


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(range(256))])
def test_what_is_no_model_proves_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert not rows_keep_apart(path)


def test_a_file_too_large_to_be_read_at_once_is_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "m.onnx", [node("Relu", "x")])
    assert rows_keep_apart(path)
    monkeypatch.setattr("agents.engines.row_proof.graph.FILE_BYTES_MAX", 10)
    assert not rows_keep_apart(path)


def test_the_model_of_the_demo_is_proven(tmp_path: Path) -> None:
    from backend.cli.demo import digits

    assert rows_keep_apart(digits.train(tmp_path).path)


STEPS = [
    ("Relu", "{} ", {}),
    ("Add", "{} x", {}),
    ("MatMul", "{} w", {}),
    ("Softmax", "{}", {"axis": 0}),
    ("Softmax", "{}", {"axis": 1}),
    ("CumSum", "{} zero", {}),
    ("CumSum", "{} one", {}),
    ("Transpose", "{}", {"perm": [1, 0]}),
    ("Reshape", "{} same", {}),
    ("Reshape", "{} four", {}),
    ("ReduceMax", "{}", {"axes": [0], "keepdims": 1}),
    ("ReduceMax", "{}", {"axes": [1], "keepdims": 1}),
    ("Gather", "{} turned", {"axis": 0}),
    ("Gather", "{} turned", {"axis": 1}),
]
CONSTANTS = {
    "w": SQUARE,
    "zero": np.array(0),
    "one": np.array(1),
    "same": np.array([0, -1]),
    "four": np.array([-1, 4]),
    "turned": np.array([3, 2, 1, 0]),
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=5))
def test_no_chain_of_operators_is_proven_that_mixes_rows(steps: list[tuple[str, str, Any]], tmp_path: Path) -> None:
    names = ["x", *(f"v{n}" for n in range(len(steps) - 1)), "y"]
    nodes = [node(op, ins.format(names[n]), names[n + 1], **told) for n, (op, ins, told) in enumerate(steps)]
    path = write(tmp_path / "m.onnx", nodes, CONSTANTS)
    if not rows_keep_apart(path):
        return
    one = RNG.normal(size=(4, WIDTH)).astype(F32)
    other = np.vstack([one[:1], RNG.normal(size=(3, WIDTH)).astype(F32) * 1e3])
    try:
        model = OnnxEngine().load(path)
        alone = model.run({"x": one})["y"][0]
    except (ModelUnusable, InferenceFailed):  # shapes that do not fit, whatever the values: nobody is served by it
        return
    np.testing.assert_allclose(model.run({"x": other})["y"][0], alone, rtol=1e-4, atol=1e-5)
