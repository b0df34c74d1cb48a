"""A model that gives back what it is given, one input of every datatype, and values to give it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from backend.bootstrap import Swarmex, utc_now
from backend.domain.tensors import DATATYPES, Array
from backend.services import models

NAME = "every"
ROWS = 2
ELEMENTS = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}
TEXTS = ["", "plain", "\u00e9\u20ac\U0001f600", "a\x00b", "  ", "[1, 2]"]


def write_every(path: Path, names: Iterable[str] = ELEMENTS) -> Path:
    """An ONNX file with an input `in_<datatype>` and an output `out_<datatype>` of [rows, 3] for each."""
    names = list(names)

    def infos(side: str) -> list[Any]:
        return [helper.make_tensor_value_info(f"{side}_{name}", ELEMENTS[name], ["rows", 3]) for name in names]

    nodes = [helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in names]
    graph = helper.make_graph(nodes, NAME, infos("in"), infos("out"))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def values(datatype: str) -> Array:
    """Two rows of three: the ends of what the datatype holds, and what lies between."""
    dtype = DATATYPES[datatype]
    if datatype == "BYTES":
        return np.array([text.encode() for text in TEXTS], object).reshape(ROWS, 3)
    if dtype.kind == "b":
        return np.array([[True, False, True], [False, False, True]])
    if dtype.kind == "f":
        info = np.finfo(dtype)
        return np.array([[info.min, -1.5, 0.0], [0.25, info.tiny, info.max]], dtype)
    least, largest = np.iinfo(dtype).min, np.iinfo(dtype).max
    return np.array([[least, 0, 1], [2, largest - 1, largest]], dtype)


def same(name: str, found: Array | None) -> bool:
    """Whether an output has the values that its input was given; JSON gives texts as such."""
    assert found is not None
    if name == "BYTES":
        texts = [text if isinstance(text, bytes) else text.encode() for text in found.ravel()]
        return texts == [text.encode() for text in TEXTS] and found.shape == (ROWS, 3)
    return found.dtype == DATATYPES[name] and np.array_equal(found, values(name))


def inputs(client: Any, *, binary: bool = True, json: tuple[str, ...] = ()) -> list[Any]:
    """All inputs in the words of one of Triton's clients; in JSON, where it has that, as asked and as it can."""
    given = []
    for name in DATATYPES:
        tensor = client.InferInput(f"in_{name}", [ROWS, 3], name)
        if client.__name__.startswith("tritonclient.grpc"):
            tensor.set_data_from_numpy(values(name))
        else:
            tensor.set_data_from_numpy(values(name), binary_data=name == "FP16" or (binary and name not in json))
        given.append(tensor)
    return given


def register_every(market: Swarmex, folder: Path, name: str = NAME, datatypes: Iterable[str] = ELEMENTS) -> str:
    """The model's name, once it is registered."""
    file = write_every(folder / f"{name}.onnx", datatypes)
    models.register_model(market.uow(), utc_now(), market.objects, name, file)
    return name
