"""What is told about models and inferences, in the messages of the protocol."""

from collections.abc import Sequence
from typing import Any, TypeVar

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from backend.domain.errors import InvalidTensor
from backend.domain.tensors import Outputs, encode
from backend.gateway.grpc import protocol_pb2 as pb
from backend.gateway.models import ServedModel
from backend.gateway.oip.payload import Payload
from backend.gateway.routing.node_client import NodeFailed

M = TypeVar("M", bound=Message)


def message(words: dict[str, Any], kind: type[M]) -> M:
    """The message of what the HTTP face says in JSON; what the message has no field for is left out."""
    return ParseDict(words, kind(), ignore_unknown_fields=True)


def inference(outputs: Outputs, payload: Payload, model: ServedModel) -> pb.ModelInferResponse:
    """The answer with raw contents; raises NodeFailed for values that are not of their datatype."""
    answer = pb.ModelInferResponse(model_name=model.name, model_version=str(model.version), id=payload.id or "")
    for tensor in outputs.tensors:
        answer.outputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
    answer.raw_output_contents.extend(_raw(outputs))
    return answer


def _raw(outputs: Outputs) -> Sequence[bytes]:
    if len(outputs.buffers) == len(outputs.tensors):
        return [bytes(buffer) for buffer in outputs.buffers]
    try:  # a node may answer in JSON what it was asked for raw
        arrays = outputs.arrays()
    except InvalidTensor as error:
        raise NodeFailed(f"the node's answer has other values than it says: {error.message}") from None
    return [bytes(encode(arrays[tensor["name"]], tensor["datatype"])) for tensor in outputs.tensors]
