"""An inference request of the Open Inference Protocol v2, checked against a model's signature.

Numbers in raw buffers are measured, not looked at: who only passes a request on need not decode it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.domain.errors import InvalidTensor, shown
from backend.domain.tensors.plain import from_plain
from backend.domain.tensors.raw import numbers, require_size, texts
from backend.domain.tensors.signature import ELEMENTS_MAX, TEXTS_MAX, Array, Signature, TensorSpec
from backend.domain.tensors.wishes import parameters_of

HEADER_LENGTH = "Inference-Header-Content-Length"
NOTHING = memoryview(b"")


@dataclass(frozen=True, slots=True)
class GivenTensor:
    """An input as it was sent: numbers in a raw buffer of the right size, anything else as an array."""

    spec: TensorSpec
    shape: tuple[int, ...]
    data: Array | memoryview

    def array(self) -> Array:
        """Its values; those of a raw buffer share its memory where they can."""
        if isinstance(self.data, memoryview):
            return numbers(self.data, self.spec.datatype, self.shape)
        return self.data


def split_body(body: bytes | bytearray | memoryview, header_length: str | None) -> tuple[memoryview, memoryview]:
    """The JSON part of a body and the raw buffers after it, by the header HEADER_LENGTH; raises InvalidTensor."""
    whole = memoryview(body)
    if header_length is None:
        return whole, NOTHING
    digits = header_length.isascii() and header_length.isdecimal() and len(header_length) < 12
    if not digits or int(header_length) > len(whole):
        raise InvalidTensor(
            f"the JSON part has {shown(header_length)} of {len(whole)} bytes",
            code="invalid_header_length",
            field=HEADER_LENGTH,
            accepted=f"its length, at most {len(whole)}",
        )
    return whole[: int(header_length)], whole[int(header_length) :]


def parse_request(body: object, signature: Signature) -> dict[str, Array]:
    """The input arrays of a request whose data is JSON; raises InvalidTensor naming the field and what would pass."""
    if isinstance(body, dict):
        parameters_of(body, "parameters")
    return {given.spec.name: given.array() for given in read_inputs(body, signature)}


def read_inputs(body: object, signature: Signature, buffers: memoryview = NOTHING) -> list[GivenTensor]:
    """The inputs of a request, in its order; `buffers` is all that follows its JSON part. Raises InvalidTensor."""
    if not isinstance(body, dict):
        raise InvalidTensor("the request is not a JSON object", field="inputs", accepted='{"inputs": [...]}')
    given = body.get("inputs")
    wanted = {spec.name: spec for spec in signature.inputs}
    if not isinstance(given, list) or not all(isinstance(tensor, dict) for tensor in given):
        accepted = f"a list of: {', '.join(wanted)}"
        raise InvalidTensor("inputs is not a list of tensors", field="inputs", accepted=accepted)
    found: dict[str, GivenTensor] = {}
    taken = 0
    for index, tensor in enumerate(given):
        name = tensor.get("name")
        if not isinstance(name, str) or name not in wanted or name in found:
            raise InvalidTensor(
                f"input {shown(name)} is unknown or given twice",
                field=f"inputs[{index}].name",
                accepted=f"each once: {', '.join(wanted)}",
            )
        field = f"inputs[{index}]"
        size = _raw_part(tensor, len(buffers) - taken, field)
        buffer = None if size is None else buffers[taken : taken + size]
        taken += size or 0
        found[name] = _read(tensor, wanted[name], buffer, field)
    if len(found) < len(wanted):
        missing = next(name for name in wanted if name not in found)
        accepted = f"each once: {', '.join(wanted)}"
        raise InvalidTensor(f"input {missing!r} is missing", field="inputs", accepted=accepted)
    if taken != len(buffers):
        raise InvalidTensor(
            f"{len(buffers) - taken} bytes belong to no input",
            field="inputs",
            accepted=f"{taken} bytes of binary data, as the inputs' binary_data_size say",
        )
    return list(found.values())


def rows_of(arrays: Mapping[str, Array], signature: Signature) -> int:
    """How many rows a request has: the longest free leading axis, or 1 for models of fixed shape."""
    free = [arrays[spec.name].shape[0] for spec in signature.inputs if spec.shape and spec.shape[0] == -1]
    return max(free) if free else 1


def _raw_part(tensor: Mapping[str, Any], left: int, field: str) -> int | None:
    """The size of a tensor's raw buffer, None where its data is JSON."""
    if "parameters" not in tensor:
        return None
    parameters = parameters_of(tensor, f"{field}.parameters")
    if "binary_data_size" not in parameters:
        return None
    size = parameters["binary_data_size"]
    if type(size) is not int or not 0 <= size <= left:
        raise InvalidTensor(
            f"binary_data_size {shown(size)} of {left} bytes left",
            field=f"{field}.parameters.binary_data_size",
            accepted=f"at most what is left, and the header {HEADER_LENGTH}",
        )
    if "data" in tensor:
        raise InvalidTensor(
            "data is given twice", field=f"{field}.data", accepted="either data or binary_data_size, not both"
        )
    return size


def _read(tensor: Mapping[str, Any], spec: TensorSpec, buffer: memoryview | None, field: str) -> GivenTensor:
    if tensor.get("datatype") != spec.datatype:
        raise InvalidTensor(
            f"datatype {shown(tensor.get('datatype'))} does not fit", field=f"{field}.datatype", accepted=spec.datatype
        )
    shape = _parse_shape(tensor.get("shape"), spec, field)
    if buffer is None:
        return GivenTensor(spec, shape, from_plain(tensor.get("data"), spec.datatype, shape, field))
    if spec.datatype == "BYTES":
        return GivenTensor(spec, shape, texts(buffer, shape, field))
    require_size(buffer, spec.datatype, shape, field)
    return GivenTensor(spec, shape, buffer)


def _parse_shape(shape: object, spec: TensorSpec, field: str) -> tuple[int, ...]:
    if not isinstance(shape, list) or not _fits(shape, spec.shape):
        wanted = ", ".join("any" if axis == -1 else str(axis) for axis in spec.shape)
        raise InvalidTensor(f"shape {shown(shape)} does not fit", field=f"{field}.shape", accepted=f"[{wanted}]")
    most = TEXTS_MAX if spec.datatype == "BYTES" else ELEMENTS_MAX
    if math.prod(shape) > most:
        raise InvalidTensor(
            f"shape {shown(shape)} is too large", field=f"{field}.shape", accepted=f"at most {most} elements"
        )
    return tuple(shape)


def _fits(shape: list[Any], wanted: Sequence[int]) -> bool:
    if len(shape) != len(wanted):
        return False
    for axis, fixed in zip(shape, wanted, strict=True):  # a loop, since a generator takes as long again
        if type(axis) is not int or axis < 1 or (fixed != -1 and fixed != axis):
            return False
    return True
