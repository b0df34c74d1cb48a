"""What becomes of a checked request: the leased nodes that it is tried on, and what that says of them."""

import asyncio
import time

from backend.domain.errors import BudgetExceeded, InsufficientFunds, Invalid, SwarmexError, Unavailable
from backend.domain.ids import NodeId
from backend.domain.tensors import Outputs
from backend.gateway.gateway import Gateway
from backend.gateway.leases.opening import Wanted
from backend.gateway.leases.paying import set_aside
from backend.gateway.leases.session import Session
from backend.gateway.limits import ANOTHER_WAIT_S, RETRIES_MAX
from backend.gateway.models import ServedModel
from backend.gateway.oip.payload import Payload
from backend.gateway.oip.replies import outputs_of
from backend.gateway.oip.served import Served
from backend.gateway.routing.node_client import NodeAnswered, NodeBusy, NodeChanged, NodeCircuitOpen, NodeUnreachable
from backend.messaging.spans import Kind, span

# The request has not run there, so that it may run elsewhere. Of any other failure nobody knows.
NOT_RUN = (NodeUnreachable, NodeCircuitOpen, NodeChanged, NodeBusy)


async def forward(gateway: Gateway, wanted: Wanted, model: ServedModel, payload: Payload) -> Served:
    """What one of the line's nodes makes of a request; raises why none took it, or what became of it on the last.

    All that a node may refuse was refused before. It goes on to another node only if it cannot have run on the one
    before: to RETRIES_MAX of them, within the line's retry budget, and within the time-out of the whole request.
    """
    session = await gateway.sessions.first(wanted)
    deadline_s = time.monotonic() + gateway.nodes.timeout_s
    tried: set[NodeId] = set()
    attempts = 1
    while True:
        sent_ns = time.perf_counter_ns()
        try:
            outputs, charge_nano = await _ask(gateway, wanted, session, model, payload, deadline_s)
            return Served(outputs, session, attempts, sent_ns, charge_nano)
        except NOT_RUN as error:
            if not isinstance(error, NodeChanged):  # who serves there by now may take it
                tried.add(session.node_id)
            following = None
            # Where a breaker is open nothing was asked, hence nothing is asked again.
            if attempts <= RETRIES_MAX and (isinstance(error, NodeCircuitOpen) or gateway.sessions.may_retry(wanted)):
                following = await _another(gateway, wanted, tried, deadline_s)
            if following is None or time.monotonic() >= deadline_s:
                raise
            session = following
            attempts += 1


async def _another(gateway: Gateway, wanted: Wanted, tried: set[NodeId], deadline_s: float) -> Session | None:
    """A session elsewhere. One may have to be opened, which takes a moment or, where there is no node, is in vain."""
    try:
        async with asyncio.timeout(min(ANOTHER_WAIT_S, deadline_s - time.monotonic())):
            return await gateway.sessions.another(wanted, tried)
    except TimeoutError:
        return None


async def _ask(
    gateway: Gateway, wanted: Wanted, session: Session, model: ServedModel, payload: Payload, deadline_s: float
) -> tuple[Outputs, int | None]:
    """What a node makes of a request, counted as its service, and its charge on a pooled lease; else as its failure.

    A client that leaves is nobody's failure, and a session that is full is not asked. Only what ran is charged.
    """
    try:
        paying = await set_aside(gateway.allowances, wanted.principal.spender, session, model, payload.rows)
    except (InsufficientFunds, BudgetExceeded, Invalid):
        gateway.sessions.unpaid(session)
        raise
    url = f"{session.endpoint}/v2/models/{model.name}/versions/{model.version}/infer"
    sent_s = time.monotonic()
    try:
        with (
            session.place(),
            session.target.asked(sent_s),
            span("node.infer", Kind.CLIENT, swarmex__node=session.node_name),
        ):
            try:
                outputs, busy_us = await gateway.nodes.ask(
                    url,
                    session.token,
                    payload.body,
                    payload.header_length,
                    lambda answer: (outputs_of(answer, model.signature, payload.wishes), answer.busy_us),
                    deadline_s - sent_s,
                    session.key.tier,
                )
            except asyncio.CancelledError:
                session.target.left(time.monotonic() - sent_s, time.monotonic())
                raise
            except Unavailable as error:
                _count_failure(gateway, session, error, time.monotonic() - sent_s)
                raise
            took_s = time.monotonic() - sent_s
            session.target.served(took_s, sent_s + took_s)
            session.tally.served(took_s * 1_000)
            gateway.meters.node_answered(session.node_name, took_s)
            return outputs, paying.settle(took_s, busy_us) if paying else None
    finally:
        if paying:
            paying.cancel()  # unless it was settled
        gateway.sessions.answered(session)


def _count_failure(gateway: Gateway, session: Session, error: SwarmexError, took_s: float) -> None:
    session.tally.failed()
    gateway.meters.node_failed(session.node_name, error.code)
    now_s = time.monotonic()
    if isinstance(error, NodeBusy):
        session.target.busy(now_s)
        gateway.sessions.busy(session)
    elif not isinstance(error, NodeCircuitOpen):  # then it was not even asked
        session.target.failed(took_s, now_s)
        gateway.sessions.failed(session, by_node=not isinstance(error, NodeAnswered))
    if isinstance(error, NodeUnreachable | NodeChanged):
        gateway.sessions.lost(session, gone=isinstance(error, NodeUnreachable))
