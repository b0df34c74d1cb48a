"""The outputs of an inference: written as the protocol has them, and read back from a node that is not trusted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backend.domain.errors import InvalidTensor, shown
from backend.domain.tensors.plain import flatten, from_plain, to_plain
from backend.domain.tensors.raw import encode, numbers, require_size, texts
from backend.domain.tensors.requests import NOTHING
from backend.domain.tensors.signature import ELEMENTS_MAX, Array, Signature
from backend.domain.tensors.wishes import parameters_of

_PLAIN = frozenset({int, float, bool, str, type(None)})


@dataclass(frozen=True, slots=True)
class Outputs:
    """Output tensors in JSON's words; those with `binary_data_size` have their data in `buffers`, in their order."""

    tensors: list[dict[str, Any]]
    buffers: list[memoryview]

    def arrays(self) -> dict[str, Array]:
        """The values by output; raises InvalidTensor where JSON holds values of another datatype."""
        left = iter(self.buffers)
        return {tensor["name"]: _array(tensor, left) for tensor in self.tensors}


def render_outputs(outputs: Mapping[str, Array], signature: Signature) -> list[dict[str, Any]]:
    """All output arrays as the protocol's JSON tensors, data flat and row-major."""
    return render(outputs, signature, dict.fromkeys((spec.name for spec in signature.outputs), False)).tensors


def render(outputs: Mapping[str, Array], signature: Signature, wishes: Mapping[str, bool]) -> Outputs:
    """The wanted output arrays, in the signature's order, each in JSON or as a raw buffer, as was wished."""
    tensors, buffers = [], []
    for spec in signature.outputs:
        if spec.name not in wishes:
            continue
        array = outputs[spec.name]
        tensor: dict[str, Any] = {"name": spec.name, "datatype": spec.datatype, "shape": list(array.shape)}
        if wishes[spec.name]:
            buffers.append(encode(array, spec.datatype))
            tensor["parameters"] = {"binary_data_size": len(buffers[-1])}
        else:
            tensor["data"] = to_plain(array)
        tensors.append(tensor)
    return Outputs(tensors, buffers)


def read_outputs(
    listed: object, signature: Signature, wishes: Mapping[str, bool], buffers: memoryview = NOTHING
) -> Outputs:
    """The outputs that a node lists, if they are those that were wanted, whole and of their size.

    Shapes are the node's to tell; `buffers` is all that follows the JSON part. Raises InvalidTensor.
    """
    if not isinstance(listed, list) or not all(isinstance(tensor, dict) for tensor in listed):
        raise InvalidTensor("there is no list of outputs", field="outputs")
    specs = {spec.name: spec for spec in signature.outputs if spec.name in wishes}
    tensors: dict[str, dict[str, Any]] = {}
    parts: list[memoryview] = []
    taken = 0
    for index, tensor in enumerate(listed):
        name, field = tensor.get("name"), f"outputs[{index}]"
        if not isinstance(name, str) or name not in specs or name in tensors:
            raise InvalidTensor(f"output {shown(name)} was not asked for", field=f"{field}.name")
        if tensor.get("datatype") != specs[name].datatype:
            raise InvalidTensor(f"it is {shown(tensor.get('datatype'))}", field=f"{field}.datatype")
        shape = _shape(tensor.get("shape"), field)
        kept: dict[str, Any] = {"name": name, "datatype": specs[name].datatype, "shape": list(shape)}
        size = parameters_of(tensor, f"{field}.parameters").get("binary_data_size")
        if size is None:
            kept["data"] = _values(tensor.get("data"), shape, field)
        else:
            if not wishes[name] or type(size) is not int or not 0 <= size <= len(buffers) - taken:
                raise InvalidTensor(f"{shown(size)} bytes of binary data", field=f"{field}.parameters")
            parts.append(buffers[taken : taken + size])
            taken += size
            _require_whole(parts[-1], specs[name].datatype, shape, field)
            kept["parameters"] = {"binary_data_size": size}
        tensors[name] = kept
    if len(tensors) != len(specs) or taken != len(buffers):
        raise InvalidTensor("the outputs are not complete, or bytes belong to none", field="outputs")
    return Outputs(list(tensors.values()), parts)


def _array(tensor: Mapping[str, Any], left: Any) -> Array:
    datatype, shape = tensor["datatype"], tuple(tensor["shape"])
    if "data" in tensor:
        return from_plain(tensor["data"], datatype, shape, tensor["name"])
    buffer = next(left)
    return texts(buffer, shape, tensor["name"]) if datatype == "BYTES" else numbers(buffer, datatype, shape)


def _require_whole(buffer: memoryview, datatype: str, shape: tuple[int, ...], field: str) -> None:
    if datatype == "BYTES":
        texts(buffer, shape, field)
    else:
        require_size(buffer, datatype, shape, field)


def _shape(shape: object, field: str) -> tuple[int, ...]:
    if not isinstance(shape, list) or any(type(n) is not int or not 0 <= n <= ELEMENTS_MAX for n in shape):
        raise InvalidTensor(f"shape {shown(shape)}", field=f"{field}.shape")
    if math.prod(shape) > ELEMENTS_MAX:
        raise InvalidTensor(f"shape {shown(shape)} is too large", field=f"{field}.shape")
    return tuple(shape)


def _values(data: object, shape: tuple[int, ...], field: str) -> list[Any]:
    values = flatten(data, shape, field)
    if len(values) != math.prod(shape) or not {type(value) for value in values} <= _PLAIN:
        raise InvalidTensor(f"{len(values)} values for shape {shown(list(shape))}", field=f"{field}.data")
    return values
