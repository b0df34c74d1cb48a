"""One real-time inference: check it, find the caller's leased node, forward, label the answer."""

import time
from collections.abc import Mapping

from starlette.responses import Response

from backend.bootstrap import utc_now
from backend.domain.access import Principal
from backend.domain.errors import Unavailable
from backend.domain.tensors import HEADER_LENGTH
from backend.gateway.errors import code_of
from backend.gateway.gateway import Gateway
from backend.gateway.leases.opening import Wanted
from backend.gateway.leases.pool_opening import line_spender
from backend.gateway.leases.session import SessionKey
from backend.gateway.leases.terms import Terms, read_terms
from backend.gateway.models import ServedModel
from backend.gateway.oip.payload import Payload, read_payload, refuse_encoded
from backend.gateway.oip.replies import inference_reply
from backend.gateway.oip.served import Served
from backend.gateway.routing.forwarding import forward
from backend.messaging.spans import span

NS_PER_S = 1_000_000_000
_LENGTH_HEADER = HEADER_LENGTH.lower()


async def infer(
    gateway: Gateway, principal: Principal, model: ServedModel, headers: Mapping[str, str], body: bytes | memoryview
) -> Response:
    """The protocol's answer to an inference request of these headers, their names in lower case, and this body."""
    started = time.perf_counter()
    refuse_encoded(headers.get("content-encoding"))
    terms = read_terms(headers)
    payload = read_payload(body, headers.get(_LENGTH_HEADER), model.signature)
    served = await serve(gateway, principal, model, payload, terms)
    return inference_reply(served, payload, model, utc_now(), (time.perf_counter() - started) * 1_000)


async def serve(gateway: Gateway, principal: Principal, model: ServedModel, payload: Payload, terms: Terms) -> Served:
    """What the caller's leased nodes make of a checked request, however it came; counted, well or not."""
    started = time.perf_counter_ns()
    told = (principal.account_id, (model.name, model.version))
    key = SessionKey(line_spender(principal.spender, terms.tier), model.name, terms.tier, terms.sla)
    wanted = Wanted(principal, key, terms.limit_nano_per_slot_s)
    try:
        with (
            span("inference.forward", swarmex__model=model.name, swarmex__tier=str(terms.tier)) as forwarding,
            gateway.requests.place(terms.tier, _full),
        ):
            served = await forward(gateway, wanted, model, payload)
            forwarding.set(swarmex__node=served.session.node_name, swarmex__attempts=served.attempts)
    except Exception as error:
        gateway.meters.failed(model.name, terms.tier, code_of(error))
        gateway.statistics.failed(*told, time.perf_counter_ns() - started)
        raise
    gateway.meters.served(model.name, terms.tier, (time.perf_counter_ns() - started) / NS_PER_S)
    sent = served.sent_ns
    gateway.statistics.served(*told, utc_now(), payload.rows, sent - started, time.perf_counter_ns() - sent)
    return served


def _full() -> Unavailable:
    return Unavailable("the gateway is full", code="overloaded")
