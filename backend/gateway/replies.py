"""Answers of the protocol face: what a node said, checked and labelled with what it cost and how long it took."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from starlette.responses import Response

from backend.domain.money import format_credits
from backend.gateway.limits import NODE_ERROR_CHARS_MAX
from backend.gateway.models import ServedModel
from backend.gateway.node_client import NodeAnswer, NodeFailed
from backend.gateway.session import Session


def json_reply(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


class NodeChanged(NodeFailed):
    """Another agent serves there by now, which does not know our token."""


def inference_reply(
    outputs: list[Any],
    request: Mapping[str, Any],
    model: ServedModel,
    session: Session,
    now: datetime,
    ms: float,
) -> Response:
    """The inference response; `id` is echoed from the request, never taken from the node."""
    body: dict[str, Any] = {"model_name": model.name, "model_version": str(model.version)}
    if "id" in request:
        body["id"] = request["id"]
    body["outputs"] = outputs
    return json_reply(body, headers=_receipt(session, now, ms))


def outputs_of(answer: NodeAnswer) -> list[Any]:
    """The output tensors in a node's answer; raises NodeFailed when there are none."""
    if answer.status == 401:
        raise NodeChanged("the node answered 401: another agent serves there by now")
    try:
        said = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        raise NodeFailed("the node's answer is not JSON") from None
    if answer.status != 200:
        told = said.get("error") if isinstance(said, dict) else None
        code = "node_busy" if answer.status in (429, 503) else None
        raise NodeFailed(f"the node answered {answer.status}: {str(told)[:NODE_ERROR_CHARS_MAX]}", code=code)
    outputs = said.get("outputs") if isinstance(said, dict) else None
    if not isinstance(outputs, list):
        raise NodeFailed("the node's answer has no outputs")
    return outputs


def _receipt(session: Session, now: datetime, ms: float) -> dict[str, str]:
    return {
        "Swarmex-Lease": str(session.lease_id),
        "Swarmex-Node": session.node_name,
        "Swarmex-Price": format_credits(session.price_nano_per_slot_s),
        "Swarmex-Charge": format_credits(session.charge_nano(now)),
        "Swarmex-Latency-Ms": f"{ms:.3f}",
    }
