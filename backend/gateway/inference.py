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
from backend.domain.orders import check_sla_offered
from backend.domain.tensors import parse_request
from backend.domain.tiers import TierName
from backend.gateway.errors import Busy, InvalidJson
from backend.gateway.forwarding import forward
from backend.gateway.gateway import Gateway
from backend.gateway.models import ServedModel
from backend.gateway.replies import inference_reply

REAL_TIME_TIERS = (TierName.MEDIUM, TierName.LARGE, TierName.ENTERPRISE)
SLA_WORDS = ("true", "false")
ID_CHARS_MAX = 200


async def infer(gateway: Gateway, principal: Principal, model: ServedModel, request: Request) -> Response:
    """The protocol's answer to an inference request whose body is still to be read."""
    started = time.perf_counter()
    _refuse_binary(request.headers)
    sla = _sla(request.headers)
    tier, limit = _tier(request.headers, sla), _limit(request.headers)
    raw = await request.body()
    body = _parse(raw, model)
    with gateway.requests.place(Unavailable("the gateway is full", code="overloaded")):
        session = await gateway.sessions.get(principal, model.name, tier, limit, sla=sla)
        try:
            with session.requests.place(Busy("too many requests of this session are under way")):
                outputs = await forward(gateway, session, model, raw)
        finally:
            gateway.sessions.answered(session)
    now = utc_now()
    session.used_at = now
    return inference_reply(outputs, body, model, session, now, (time.perf_counter() - started) * 1_000)


def _sla(headers: Mapping[str, str]) -> bool:
    word = headers.get("swarmex-sla", "false")
    if word not in SLA_WORDS:
        raise Invalid(
            "whether there is an SLA is true or false", code="invalid_sla", field="Swarmex-SLA", accepted="true, false"
        )
    return word == "true"


def _tier(headers: Mapping[str, str], sla: bool) -> TierName:
    name = headers.get("swarmex-tier", TierName.MEDIUM)
    if name not in [tier.value for tier in TierName]:
        raise unknown_choice("tier", name, REAL_TIME_TIERS)
    if sla:
        check_sla_offered(TierName(name), "Swarmex-SLA")
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
