"""Answers of the protocol face: what a node said, checked and labelled with what it cost and how long it took."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from starlette.responses import Response

from backend.domain.errors import InvalidTensor
from backend.domain.money import format_credits
from backend.domain.tensors import Outputs, Signature, read_outputs, split_body
from backend.gateway.limits import NODE_ERROR_CHARS_MAX
from backend.gateway.models import ServedModel
from backend.gateway.oip.payload import Payload
from backend.gateway.oip.served import Served
from backend.gateway.oip.tensor_reply import TensorReply
from backend.gateway.routing.node_client import NodeAnswer, NodeAnswered, NodeBusy, NodeChanged, NodeFailed


def json_reply(
    body: Mapping[str, Any] | Sequence[Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON response."""
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


def inference_reply(served: Served, payload: Payload, model: ServedModel, now: datetime, ms: float) -> Response:
    """The inference response; `id` is echoed from the request, never taken from the node."""
    body: dict[str, Any] = {"model_name": model.name, "model_version": str(model.version)}
    if payload.id is not None:
        body["id"] = payload.id
    body["outputs"] = served.outputs.tensors
    told = receipt(served, now, ms)
    if served.outputs.buffers:
        return TensorReply(orjson.dumps(body), served.outputs.buffers, told)
    return json_reply(body, headers=told)


def outputs_of(answer: NodeAnswer, signature: Signature, wishes: Mapping[str, bool]) -> Outputs:
    """The wanted output tensors in a node's answer; raises NodeFailed unless they are all there, and whole."""
    if answer.status != 200:
        raise _refusal(answer)
    try:
        header, buffers = split_body(answer.body, answer.header_length)
        said = orjson.loads(header)
    except (InvalidTensor, orjson.JSONDecodeError):
        raise NodeFailed("the node's answer is not JSON") from None
    if not isinstance(said, dict):
        raise NodeFailed("the node's answer has no outputs")
    try:
        return read_outputs(said.get("outputs"), signature, wishes, buffers)
    except InvalidTensor as error:
        raise NodeAnswered(f"the node's answer has no such outputs: {error.field}: {error.message}") from None


def _refusal(answer: NodeAnswer) -> NodeFailed:
    """What a node that answered no result says of itself or of the request."""
    if answer.status == 401:
        return NodeChanged("the node answered 401: another agent serves there by now")
    try:
        said = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        said = None
    told = said.get("error") if isinstance(said, dict) else None
    kind = NodeBusy if answer.status in (429, 503) else NodeAnswered
    return kind(f"the node answered {answer.status}: {str(told)[:NODE_ERROR_CHARS_MAX]}")


def receipt(served: Served, now: datetime, ms: float) -> dict[str, str]:
    """Lease, node, price, charge and what it is of, time taken, attempts if above one, by the names that tell them."""
    session = served.session
    charge_nano = session.charge_nano(now) if served.charge_nano is None else served.charge_nano
    attempts = {"Swarmex-Attempts": str(served.attempts)} if served.attempts > 1 else {}
    return attempts | {
        "Swarmex-Lease": session.lease,
        "Swarmex-Node": session.node_name,
        "Swarmex-Price": session.price,
        "Swarmex-Charge": format_credits(charge_nano),
        "Swarmex-Charge-Of": "session" if served.charge_nano is None else "request",
        "Swarmex-Latency-Ms": f"{ms:.3f}",
    }
