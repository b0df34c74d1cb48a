"""Tensors as the Open Inference Protocol v2 writes them in JSON: a model's signature and the check against it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.domain.errors import InvalidTensor, shown

Array = npt.NDArray[Any]

DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}
ELEMENTS_MAX = 4_000_000  # of one tensor: 16 MB as FP32


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model; −1 in `shape` is free; a free leading axis counts rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def to_wire(self) -> dict[str, list[dict[str, Any]]]:
        """As the protocol's model metadata lists it."""
        return {
            side: [{"name": s.name, "datatype": s.datatype, "shape": list(s.shape)} for s in specs]
            for side, specs in (("inputs", self.inputs), ("outputs", self.outputs))
        }

    @staticmethod
    def from_wire(wire: Mapping[str, Any]) -> "Signature":
        """The inverse of `to_wire`."""

        def specs(side: str) -> tuple[TensorSpec, ...]:
            return tuple(TensorSpec(s["name"], s["datatype"], tuple(s["shape"])) for s in wire[side])

        return Signature(specs("inputs"), specs("outputs"))


def parse_request(body: object, signature: Signature) -> dict[str, Array]:
    """The input arrays of an inference request; raises InvalidTensor naming the field and what would pass."""
    if not isinstance(body, Mapping):
        raise InvalidTensor("a request is a JSON object", field="inputs", accepted='{"inputs": [...]}')
    given = body.get("inputs")
    wanted = {spec.name: spec for spec in signature.inputs}
    names = ", ".join(wanted)
    if not isinstance(given, list) or not all(isinstance(tensor, Mapping) for tensor in given):
        raise InvalidTensor("inputs is a list of tensors", field="inputs", accepted=f"tensors {names}")
    arrays: dict[str, Array] = {}
    for index, tensor in enumerate(given):
        name = tensor.get("name")
        if not isinstance(name, str) or name not in wanted or name in arrays:
            raise InvalidTensor(
                f"input {shown(name)} is unknown or given twice",
                field=f"inputs[{index}].name",
                accepted=f"each once: {names}",
            )
        arrays[name] = _parse_tensor(tensor, wanted[name], f"inputs[{index}]")
    if missing := [name for name in wanted if name not in arrays]:
        raise InvalidTensor(f"input {missing[0]!r} is missing", field="inputs", accepted=f"each once: {names}")
    return arrays


def rows_of(arrays: Mapping[str, Array], signature: Signature) -> int:
    """How many rows a request has: the longest free leading axis, or 1 for models of fixed shape."""
    free = [arrays[spec.name].shape[0] for spec in signature.inputs if spec.shape[:1] == (-1,)]
    return max(free, default=1)


def render_outputs(outputs: Mapping[str, Array], signature: Signature) -> list[dict[str, Any]]:
    """Output arrays as the protocol's JSON tensors, data flat and row-major."""
    return [
        {
            "name": spec.name,
            "datatype": spec.datatype,
            "shape": list(outputs[spec.name].shape),
            "data": _plain(outputs[spec.name].ravel()),
        }
        for spec in signature.outputs
    ]


def _plain(flat: Array) -> list[Any]:
    if flat.dtype == object:
        return [x.decode("utf-8", "replace") if isinstance(x, bytes) else str(x) for x in flat]
    values: list[Any] = flat.tolist()
    return values


def _parse_tensor(tensor: Mapping[str, Any], spec: TensorSpec, field: str) -> Array:
    if tensor.get("datatype") != spec.datatype:
        raise InvalidTensor(
            f"datatype {shown(tensor.get('datatype'))} does not fit", field=f"{field}.datatype", accepted=spec.datatype
        )
    shape = _parse_shape(tensor.get("shape"), spec, field)
    values = _flatten(tensor.get("data"), shape, field)
    if len(values) != math.prod(shape):
        raise InvalidTensor(
            f"{len(values)} values for shape {list(shape)}",
            field=f"{field}.data",
            accepted=f"{math.prod(shape)} values, flat or nested, row-major",
        )
    return _typed(values, spec, field).reshape(shape)


def _parse_shape(shape: object, spec: TensorSpec, field: str) -> tuple[int, ...]:
    if not isinstance(shape, list) or not _fits(shape, spec.shape):
        wanted = ", ".join("any" if axis == -1 else str(axis) for axis in spec.shape)
        raise InvalidTensor(f"shape {shown(shape)} does not fit", field=f"{field}.shape", accepted=f"[{wanted}]")
    if math.prod(shape) > ELEMENTS_MAX:
        raise InvalidTensor(
            f"shape {shown(shape)} is too large", field=f"{field}.shape", accepted=f"at most {ELEMENTS_MAX} elements"
        )
    return tuple(shape)


def _fits(shape: list[Any], wanted: Sequence[int]) -> bool:
    return len(shape) == len(wanted) and all(
        type(axis) is int and axis >= 1 and fixed in (-1, axis) for axis, fixed in zip(shape, wanted, strict=True)
    )


def _flatten(data: object, shape: tuple[int, ...], field: str) -> list[Any]:
    """The values in row-major order, from a flat list or from lists nested exactly as the shape says."""
    if not isinstance(data, list):
        raise InvalidTensor("data is a list of values", field=f"{field}.data", accepted="a flat or nested list")
    if not (data and isinstance(data[0], list)):
        return data
    parts: list[Any] = [data]
    for length in shape:
        if not all(isinstance(part, list) and len(part) == length for part in parts):
            raise InvalidTensor(
                "data is not nested as its shape",
                field=f"{field}.data",
                accepted=f"{math.prod(shape)} values, flat or nested, row-major",
            )
        parts = [value for part in parts for value in part]
    return parts


def _typed(values: list[Any], spec: TensorSpec, field: str) -> Array:
    """Values as an array of the datatype, refusing what JSON would let slip (booleans as numbers, overflow, NaN)."""
    dtype = DATATYPES[spec.datatype]
    kinds: dict[str, set[type]] = {"b": {bool}, "O": {str}, "f": {int, float}}
    allowed = kinds.get(dtype.kind, {int})
    if not {type(value) for value in values} <= allowed:
        raise InvalidTensor(
            f"a value is not {spec.datatype}",
            field=f"{field}.data",
            accepted=" or ".join(sorted(kind.__name__ for kind in allowed)) + " values",
        )
    if dtype.kind == "O":
        try:
            return np.array([value.encode() for value in values], dtype=object)
        except UnicodeEncodeError:
            raise InvalidTensor("a text is not Unicode", field=f"{field}.data", accepted="whole characters") from None
    try:
        with np.errstate(over="raise"):
            array = np.array(values, dtype=dtype)
    except (OverflowError, FloatingPointError):
        array = None
    if array is None or (dtype.kind == "f" and not np.isfinite(array).all()):
        raise InvalidTensor(
            f"a value is out of range for {spec.datatype}", field=f"{field}.data", accepted="finite, in range"
        )
    return array
