"""The work port of remote nodes. A node's key opens these routes and nothing else, and of them only its own work."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from backend.api.dependencies import Market, Now, gateway_of
from backend.api.node_side import RemoteNode, Side
from backend.api.raw_body import received
from backend.api.wire.joining import MachineHardware
from backend.api.wire.node_work import (
    FENCE_MAX,
    Beat,
    BeatReply,
    Claim,
    Claimed,
    Commit,
    Counted,
    Extend,
    Fail,
    FromAgent,
    NodeOffer,
    Poll,
    Units,
    WorkModel,
)
from backend.api.wire.nodes import Node, Offer
from backend.domain.ids import AgentId, ItemId, ModelId, UnitId
from backend.gateway.disconnects import ClientGone, while_connected
from backend.services import joining, node_work, nodes

router = APIRouter(prefix="/api/v1/node", tags=["remote nodes"])
_UPDATE = {
    "requestBody": {
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "description": "A safetensors file, at most twice as large as the weights that it was made of.",
        "required": True,
    }
}


def _held(item_id: UUID, agent: UUID, fence: Annotated[int, Query(ge=0, le=FENCE_MAX)]) -> node_work.HeldItem:
    return node_work.HeldItem(AgentId(agent), ItemId(item_id), fence)


Held = Annotated[node_work.HeldItem, Depends(_held)]


@router.get("")
def show(node: RemoteNode, market: Market, now: Now) -> Node:
    """The node that the key speaks for, as the market sees it."""
    return Node.of(nodes.show_node(market.uow(), now, node.node_id, node.owner))


@router.post("/offer", status_code=201)
def offer(body: NodeOffer, node: RemoteNode, market: Market, now: Now) -> Offer:
    """Offer the node's slots from a price up; replaces its open offer and ends a drain."""
    return Offer.of(nodes.offer(market.uow(), now, node.node_id, body.ask, node.owner))


@router.post("/hardware")
def hardware(body: MachineHardware, node: RemoteNode, market: Market, now: Now) -> Node:
    """Say what the machine has by now, as it does whenever it starts."""
    return Node.of(joining.report_hardware(market.uow(), now, node, body.hardware()))


@router.post("/drain")
def drain(node: RemoteNode, market: Market, now: Now) -> Node:
    """Let the node finish its leases and take no new ones."""
    return Node.of(nodes.drain_node(market.uow(), now, node.node_id, node.owner))


@router.post("/work/beat")
def beat(body: Beat, node: RemoteNode, market: Market, now: Now) -> BeatReply:
    """Give a sign of life; the first one registers the agent."""
    return BeatReply(drain=node_work.beat(market.uow(), now, node, body.sign()).drain)


@router.post("/work/stopped", status_code=204)
def stopped(body: FromAgent, node: RemoteNode, market: Market, now: Now) -> None:
    """Say that an agent has ended on purpose."""
    node_work.stopped(market.uow(), now, node, AgentId(body.agent))


@router.post("/work/poll")
async def poll(request: Request, body: Poll, node: RemoteNode, side: Side, market: Market) -> Units:
    """Wait for work; answered when there is some, or without any after `wait_s`."""
    threads = (await gateway_of(request)).threads
    try:
        await while_connected(request.scope, side.polls.wait(node.node_id, node.queue, body.wait_s))
    except ClientGone:
        return Units(units=[])  # to nobody
    return Units(units=list(await threads.run(lambda: node_work.units(market.uow(), node))))


@router.post("/work/claim")
def claim(body: Claim, node: RemoteNode, market: Market) -> Claimed:
    """Items of a unit that nobody else holds, for three seconds from now."""
    return Claimed.of(node_work.claim(market.uow(), node, AgentId(body.agent), UnitId(body.unit)))


@router.post("/work/extend")
def extend(body: Extend, node: RemoteNode, market: Market) -> Counted:
    """Keep items for another three seconds; those that are still the agent's."""
    held = [(ItemId(one.item), one.fence) for one in body.held]
    return Counted(items=sorted(node_work.extend(market.uow(), node, AgentId(body.agent), held)))


@router.post("/work/commit")
def commit(body: Commit, node: RemoteNode, market: Market, now: Now) -> Counted:
    """Record results; those that counted."""
    results = body.told()
    committed = node_work.commit(market.uow(), now, node, AgentId(body.agent), results)
    node_work.tell(market.uow(), node, results, committed)
    return Counted(items=sorted(committed))


@router.post("/work/fail")
def fail(body: Fail, node: RemoteNode, market: Market) -> Counted:
    """Give back items that could not be run; those that counted."""
    return Counted(items=sorted(node_work.fail(market.uow(), node, AgentId(body.agent), body.told())))


@router.post("/work/release")
def release(body: Extend, node: RemoteNode, market: Market) -> Counted:
    """Give back items that were not run, to be run elsewhere; those that counted."""
    held = [(ItemId(one.item), one.fence) for one in body.held]
    return Counted(items=sorted(node_work.release(market.uow(), node, AgentId(body.agent), held)))


@router.get("/work/models")
def models(_: RemoteNode, market: Market) -> list[WorkModel]:
    """Every registered model."""
    return [WorkModel.of(model.ref, model.size_bytes) for model in node_work.list_models(market.uow())]


@router.get("/work/models/{model_id}/file", response_class=StreamingResponse)
def model_file(model_id: UUID, _: RemoteNode, market: Market) -> StreamingResponse:
    """A model's file; its SHA-256 is in `Swarmex-Checksum`."""
    model, chunks = node_work.model_file(market.uow(), market.objects, ModelId(model_id))
    told = {"Swarmex-Checksum": model.ref.checksum, "Content-Length": str(model.size_bytes)}
    return StreamingResponse(chunks, media_type="application/octet-stream", headers=told)


@router.get("/work/items/{item_id}/weights", response_class=StreamingResponse)
def weights(held: Held, node: RemoteNode, market: Market) -> StreamingResponse:
    """The weights that a training item in hand begins with; their SHA-256 is in `Swarmex-Checksum`."""
    found, chunks = node_work.weights_file(market.uow(), market.objects, node, held)
    told = {"Swarmex-Checksum": found.sha256, "Content-Length": str(found.size_bytes)}
    return StreamingResponse(chunks, media_type="application/octet-stream", headers=told)


@router.put("/work/items/{item_id}/update", status_code=204, openapi_extra=_UPDATE)
async def update(request: Request, held: Held, node: RemoteNode, market: Market) -> None:
    """Bring the update of a training item in hand, before its result; the same again replaces it."""
    most = await run_in_threadpool(node_work.update_bytes_max, market.uow(), node, held)
    async with received(
        request, str(node.node_id), most
    ) as path:  # not by account: its nodes would wait for each other
        await run_in_threadpool(node_work.keep_update, market.uow(), market.objects, node, held, path)
