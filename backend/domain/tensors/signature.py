"""A model's signature: the names, datatypes and shapes of what it takes and gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

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
"""The protocol's datatypes. Its BF16 is not among them: neither numpy nor ONNX Runtime's Python side has it."""
ELEMENTS_MAX = 4_000_000  # of one tensor: 16 MB as FP32
TEXTS_MAX = 500_000  # of one BYTES tensor: each is an object of its own


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
