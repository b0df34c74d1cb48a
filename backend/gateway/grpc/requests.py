"""A gRPC inference request as the HTTP face would have got it: a JSON part and raw buffers, read by the same rules."""

from collections.abc import Mapping
from typing import Any

import orjson

from backend.domain.errors import InvalidTensor, shown
from backend.domain.tensors import DATATYPES, ELEMENTS_MAX, Signature, raw_of_plain
from backend.gateway.grpc import protocol_pb2 as pb
from backend.gateway.oip.payload import Payload, read_payload

# Which typed contents hold a datatype; FP16 has none and travels raw only.
CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def read_request(request: pb.ModelInferRequest, signature: Signature) -> Payload:
    """The request, checked whole; raises InvalidTensor."""
    buffers = _buffers(request)
    inputs: list[dict[str, Any]] = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
            "parameters": {**_parameters(tensor.parameters), "binary_data_size": len(buffer)},
        }
        for tensor, buffer in zip(request.inputs, buffers, strict=True)
    ]
    outputs = [
        {"name": output.name, "parameters": {**_parameters(output.parameters), "binary_data": True}}
        for output in request.outputs
    ]
    body: dict[str, Any] = {"inputs": inputs, "outputs": outputs, "parameters": {"binary_data_output": True}}
    if request.id:
        body["id"] = request.id
    header = orjson.dumps(body)
    return read_payload(b"".join([header, *buffers]), str(len(header)), signature)


def _buffers(request: pb.ModelInferRequest) -> list[bytes]:
    """One raw buffer per input, made of typed contents where the request has no raw ones."""
    if request.raw_input_contents:
        if len(request.raw_input_contents) != len(request.inputs):
            raise InvalidTensor(
                f"{len(request.raw_input_contents)} raw contents for {len(request.inputs)} inputs",
                field="raw_input_contents",
                accepted="one for each input, in their order",
            )
        for index, tensor in enumerate(request.inputs):
            if tensor.HasField("contents"):
                raise InvalidTensor(
                    "contents are given twice", field=f"inputs[{index}].contents", accepted="raw or typed, not both"
                )
        return list(request.raw_input_contents)
    return [_raw(tensor, f"inputs[{index}]") for index, tensor in enumerate(request.inputs)]


def _raw(tensor: pb.ModelInferRequest.InferInputTensor, field: str) -> bytes:
    kind = CONTENTS.get(tensor.datatype)
    if kind is None:
        raise InvalidTensor(
            f"datatype {shown(tensor.datatype)} has no typed contents",
            field=f"{field}.datatype",
            accepted="raw_input_contents" if tensor.datatype in DATATYPES else ", ".join(DATATYPES),
        )
    filled = [contents.name for contents, _ in tensor.contents.ListFields()]
    if filled not in ([], [kind]):
        raise InvalidTensor(
            f"contents are {', '.join(filled)}", field=f"{field}.contents", accepted=f"{kind} for {tensor.datatype}"
        )
    values = getattr(tensor.contents, kind)
    if len(values) > ELEMENTS_MAX:
        raise InvalidTensor(f"{len(values)} values", field=f"{field}.contents", accepted=f"at most {ELEMENTS_MAX}")
    return bytes(raw_of_plain(list(values), tensor.datatype, field))


def _parameters(given: Mapping[str, pb.InferParameter]) -> dict[str, Any]:
    """Parameters as the HTTP face would have them."""
    plain: dict[str, Any] = {}
    for name, value in given.items():
        kind = value.WhichOneof("parameter_choice")
        plain[name] = None if kind is None else getattr(value, kind)
    return plain
