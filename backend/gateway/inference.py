"""One real-time inference: check it, find the caller's leased node, forward, label the answer."""

import time
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from backend.bootstrap import utc_now
from backend.domain.access import Principal
from backend.domain.errors import Invalid, InvalidTensor, Unavailable, unknown_choice
from backend.domain.money import parse_credits
from backend.domain.tensors import parse_request
from backend.domain.tiers import TierName
from backend.gateway.errors import Busy, InvalidJson
from backend.gateway.gateway import Gateway
from backend.gateway.models import ServedModel
from backend.gateway.node_client import NodeAnswer, NodeUnreachable
from backend.gateway.replies import inference_reply
from backend.gateway.session import Session

REAL_TIME_TIERS = (TierName.MEDIUM, TierName.LARGE, TierName.ENTERPRISE)
ID_CHARS_MAX = 200


async def infer(gateway: Gateway, principal: Principal, model: ServedModel, request: Request) -> Response:
    """The protocol's answer to an inference request whose body is still to be read."""
    started = time.perf_counter()
    _refuse_binary(request.headers)
    tier, limit = _tier(request.headers), _limit(request.headers)
    raw = await request.body()
    body = _parse(raw, model)
    with gateway.requests.place(Unavailable("the gateway is full", code="overloaded")):
        session = await gateway.sessions.get(principal, model.name, tier, limit)
        with session.requests.place(Busy("too many requests of this session are under way")):
            answer = await _forward(gateway, session, model, raw)
    now = utc_now()
    session.used_at = now
    return inference_reply(answer, body, model, session, now, (time.perf_counter() - started) * 1_000)


async def _forward(gateway: Gateway, session: Session, model: ServedModel, raw: bytes) -> NodeAnswer:
    url = f"{session.endpoint}/v2/models/{model.name}/versions/{model.version}/infer"
    try:
        answer = await gateway.nodes.post(url, session.token, raw)
    except NodeUnreachable:
        await gateway.sessions.lost(session)
        raise
    if answer.status == 401:  # another agent serves there by now
        await gateway.sessions.lost(session)
    return answer


def _tier(headers: Mapping[str, str]) -> TierName:
    name = headers.get("swarmex-tier", TierName.MEDIUM)
    if name not in [tier.value for tier in TierName]:
        raise unknown_choice("tier", name, REAL_TIME_TIERS)
    if name not in REAL_TIME_TIERS:
        raise Invalid(
            f"tier {name} is not offered for real-time requests yet",
            code="tier_not_offered",
            field="Swarmex-Tier",
            accepted=", ".join(REAL_TIME_TIERS),
        )
    return TierName(name)


def _limit(headers: Mapping[str, str]) -> int | None:
    text = headers.get("swarmex-limit")
    return None if text is None else parse_credits(text, "Swarmex-Limit")


def _refuse_binary(headers: Mapping[str, str]) -> None:
    if "inference-header-content-length" in headers:
        raise InvalidTensor(
            "binary tensors are not offered yet",
            code="binary_tensors_not_offered",
            field="Inference-Header-Content-Length",
            accepted="a JSON body with the data in it",
        )


def _parse(raw: bytes, model: ServedModel) -> Mapping[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"the body is not JSON: {error}") from None
    parse_request(body, model.signature)
    identity = body.get("id", "")
    if not isinstance(identity, str) or len(identity) > ID_CHARS_MAX:
        raise InvalidTensor("id is a string", field="id", accepted=f"at most {ID_CHARS_MAX} characters")
    _check_outputs(body.get("outputs", []), model)
    checked: Mapping[str, Any] = body
    return checked


def _check_outputs(wanted: object, model: ServedModel) -> None:
    names = [spec.name for spec in model.signature.outputs]
    if not isinstance(wanted, list) or any(not isinstance(o, dict) or o.get("name") not in names for o in wanted):
        raise InvalidTensor("outputs names what the model gives", field="outputs", accepted=", ".join(names))
