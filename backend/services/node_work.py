"""The work port of remote nodes: what each node may ask for is bound to itself, whatever ids it sends."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
import structlog

from backend.domain.errors import Conflict, Invalid, NotFound
from backend.domain.events import Event, Topic
from backend.domain.federated import tasks
from backend.domain.federated.tasks import (
    LocalTask,
    WeightsRef,
    read_result,
    read_task,
    update_key,
)
from backend.domain.ids import AgentId, ItemId, ModelId, UnitId
from backend.domain.joining import AGENTS_MAX, UNITS_PER_POLL_MAX, NodePrincipal, notices, overstated
from backend.domain.private_envelope import sealed_in
from backend.domain.trust import Evidence
from backend.domain.work import AgentBeat, BeatAnswer, ClaimedItem, ItemFailure, ItemResult
from backend.messaging.spans import LINKS_MAX, clock_ns, finished, recording
from backend.services.log import record
from backend.storage.models import Model
from backend.storage.objects import ObjectStore
from backend.storage.trust import Found
from backend.storage.unit_of_work import UnitOfWork

US_PER_S, NS_PER_US = 1_000_000, 1_000
TOLD_S_MAX = 60  # of a span that only a machine vouches for

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HeldItem:
    """An item in the hand of one of a node's agents, as the machine says it."""

    agent_id: AgentId
    item_id: ItemId
    fence: int


def beat(uow: UnitOfWork, now: datetime, node: NodePrincipal, sign: AgentBeat) -> BeatAnswer:
    """Record a sign of life of an agent of the node; the first one registers it.

    Raises NotFound for an id that is somebody else's, Conflict(`too_many_agents`) beyond AGENTS_MAX that live.
    """
    with uow:
        state = uow.node_work.beat(sign, node.queue, now)
        if state is None:
            raise NotFound("agent", sign.agent_id, accepted="an id of this node's own")
        if len(uow.node_work.agents(node.queue)) > AGENTS_MAX:
            uow.node_work.forget_gone(node.queue, sign.agent_id, now)
            if len(uow.node_work.agents(node.queue)) > AGENTS_MAX:
                accepted = f"at most {AGENTS_MAX} at once"
                raise Conflict("too many agents", code="too_many_agents", field="agent", accepted=accepted)
        uow.commit()
    return BeatAnswer(drain=state != "up")


def stopped(uow: UnitOfWork, now: datetime, node: NodePrincipal, agent_id: AgentId) -> None:
    """Record that an agent of the node has gone, as it should. Raises NotFound."""
    with uow:
        if not uow.node_work.stop(agent_id, node.queue, now):
            raise _unknown(agent_id)
        uow.commit()


def waited_for(uow: UnitOfWork, queues: Collection[str]) -> set[str]:
    """Those of these queues that have something to claim: one statement, however many nodes wait."""
    with uow:
        return uow.node_work.waited_for(queues)


def units(uow: UnitOfWork, node: NodePrincipal) -> list[UnitId]:
    """The node's next units; those that nothing is left of are forgotten."""
    with uow:
        uow.node_work.forget_done(node.queue)
        found = uow.node_work.units(node.queue, UNITS_PER_POLL_MAX)
        uow.commit()
    return found


def claim(uow: UnitOfWork, node: NodePrincipal, agent_id: AgentId, unit_id: UnitId) -> list[ClaimedItem]:
    """Items of a unit of the node's for CLAIM_S from now, as many as one message carries; none of another's unit.

    Raises NotFound for an agent that is not the node's.
    """
    with uow:
        _check_agent(uow, node, agent_id)
        items = uow.node_work.claim(node.node_id, node.queue, agent_id, unit_id)
        uow.commit()
    return items


def extend(uow: UnitOfWork, node: NodePrincipal, agent_id: AgentId, held: Sequence[tuple[ItemId, int]]) -> set[ItemId]:
    """Keep items, given with their fences, for another CLAIM_S; those that are still the agent's."""
    with uow:
        _check_agent(uow, node, agent_id)
        kept = uow.node_work.extend(agent_id, held)
        uow.commit()
    return kept


def commit(
    uow: UnitOfWork, now: datetime, node: NodePrincipal, agent_id: AgentId, results: Sequence[ItemResult]
) -> set[ItemId]:
    """Record results; those that counted. A stale fence, and an item of another node, are void.

    Outputs that are no answer of the protocol's are nothing to be paid for: such an item has failed on this attempt.
    Nor are those of a private item that are not sealed, or those of another that are; nor those of a training item that
    say nothing of an update.
    """
    with uow:
        _check_agent(uow, node, agent_id)
        items = [result.item_id for result in results]
        private, training = uow.private_orders.private_among(items), uow.node_work.training_among(items)
        answers: list[ItemResult] = []
        wrong: list[ItemFailure] = []
        for result in results:
            if result.item_id in training:
                is_answer = _is_report(result.outputs)
            elif result.item_id in private:
                is_answer = sealed_in(result.outputs) is not None
            else:
                is_answer = _is_answer(result.outputs)
            if is_answer:
                answers.append(result)
            else:
                wrong.append(ItemFailure(result.item_id, result.fence, "the node's outputs are no answer"))
        committed = uow.node_work.commit(agent_id, answers)
        if wrong and uow.node_work.fail(agent_id, wrong):  # after it: this locks units too, and items come before them
            uow.emit(Event(Topic.UNITS_READY))
        if committed:
            _notice(uow, now, node, committed)
            uow.emit(Event(Topic.WORK_COMMITTED))
        uow.commit()
    return committed


def tell(uow: UnitOfWork, node: NodePrincipal, results: Sequence[ItemResult], committed: Collection[ItemId]) -> None:
    """Record what a machine of somebody else's says of its work as a span of the orders' traces: its own stay there.

    It ends now and lasts as long as the engine was at work by the machine's word, at most TOLD_S_MAX.
    """
    if not committed or not recording():
        return
    busy_us = sum(result.busy_us for result in results if result.item_id in committed)
    with uow:
        traces = uow.node_work.traces_of(committed, LINKS_MAX)
    started_ns = clock_ns() - min(busy_us, TOLD_S_MAX * US_PER_S) * NS_PER_US
    finished("work.run", started_ns, traces, swarmex__node=str(node.node_id), swarmex__items=len(committed))


def fail(uow: UnitOfWork, node: NodePrincipal, agent_id: AgentId, failures: Sequence[ItemFailure]) -> set[ItemId]:
    """Give back items that could not be run, to be tried elsewhere or buried; those that counted."""
    with uow:
        _check_agent(uow, node, agent_id)
        failed = uow.node_work.fail(agent_id, failures)
        if failed:
            uow.emit(Event(Topic.UNITS_READY))
        uow.commit()
    return failed


def release(uow: UnitOfWork, node: NodePrincipal, agent_id: AgentId, held: Sequence[tuple[ItemId, int]]) -> set[ItemId]:
    """Give back items that were not run, as an agent does that leaves; those that counted."""
    with uow:
        _check_agent(uow, node, agent_id)
        released = uow.node_work.release(agent_id, held)
        if released:
            uow.emit(Event(Topic.UNITS_READY))
        uow.commit()
    return released


def list_models(uow: UnitOfWork) -> list[Model]:
    """Every model that a node may be asked to run."""
    with uow:
        return uow.models.runnable()


def model_file(uow: UnitOfWork, objects: ObjectStore, model_id: ModelId) -> tuple[Model, Iterator[bytes]]:
    """A model and its file piece by piece; raises NotFound for the model or its file."""
    with uow:
        model = uow.models.find(model_id)
    if model is None or not objects.exists(model.ref.uri):
        raise NotFound("model", model_id)
    return model, objects.chunks(model.ref.uri)


def weights_file(
    uow: UnitOfWork, objects: ObjectStore, node: NodePrincipal, held: HeldItem
) -> tuple[WeightsRef, Iterator[bytes]]:
    """What a training item in the node's hand begins with, piece by piece; raises what `update_bytes_max` does."""
    with uow:
        weights = _task(uow, node, held).weights
    try:
        return weights, objects.chunks(weights.key)
    except FileNotFoundError:
        raise NotFound("weights", weights.sha256, field="item") from None


def update_bytes_max(uow: UnitOfWork, node: NodePrincipal, held: HeldItem) -> int:
    """How large the update of a training item may be, in bytes: no larger than its weights can be written.

    Raises NotFound for an item that is not the node's, Conflict(`item_not_held`) for one that the agent has not in its
    hand by this fence, Conflict(`not_a_training_item`).
    """
    with uow:
        return tasks.update_bytes_max(_task(uow, node, held).weights)


def keep_update(uow: UnitOfWork, objects: ObjectStore, node: NodePrincipal, held: HeldItem, path: Path) -> None:
    """Store the file at `path` as the update of a training item that is still in the node's hand.

    Where it goes follows from the item's own task and the fence; the same again replaces it. Raises what
    `update_bytes_max` does.
    """
    with uow:
        task = _task(uow, node, held)
    objects.put_file(path, update_key(task.job_id, task.round, held.item_id, held.fence), replace=True)


def _task(uow: UnitOfWork, node: NodePrincipal, held: HeldItem) -> LocalTask:
    _check_agent(uow, node, held.agent_id)
    found = uow.node_work.holding(held.item_id, node.node_id)
    if found is None:
        raise NotFound("item", held.item_id, accepted="an item that this node has claimed")
    if not found.is_held(held.agent_id, held.fence):
        accepted = "an item that this agent has claimed and not committed, and the fence of its claim"
        raise Conflict("the item is not in this agent's hand", code="item_not_held", field="fence", accepted=accepted)
    if found.task is None:
        accepted = "an item of a training job"
        raise Conflict("the item is a request", code="not_a_training_item", field="item", accepted=accepted)
    return read_task(found.task)


def _is_report(outputs: bytes) -> bool:
    """Whether outputs say what an update is of, or why there is none; what is in the file, its aggregation tells."""
    try:
        read_result(outputs)
    except Invalid:
        return False
    return True


def _is_answer(outputs: bytes) -> bool:
    """Whether outputs are a JSON object with a list of tensors; what is in them, canaries tell."""
    try:
        said = orjson.loads(outputs)
    except orjson.JSONDecodeError:
        return False
    return isinstance(said, dict) and isinstance(said.get("outputs"), list)


def _notice(uow: UnitOfWork, now: datetime, node: NodePrincipal, committed: Collection[ItemId]) -> None:
    """Remember reports of more time than passed. They cost nobody anything; repeated, they speak against the node."""
    reports = uow.node_work.reports(committed)
    lies = [report for report in reports if overstated(report.reported_us, report.observed_us)]
    if not lies:
        return
    told = uow.node_work.overstate(node.node_id, now.astimezone(UTC).date(), len(lies))
    if evidence := notices(told - len(lies), told):
        # Of no buyer in particular, so that no single one's influence bounds it: the coordinator saw it itself.
        uow.trust.record([Found(node.node_id, None, Evidence.OVERSTATED, evidence)], now)
        worst = max(lies, key=lambda report: report.reported_us - report.observed_us)
        facts = {"items_today": told, "reported_us": worst.reported_us, "observed_us": worst.observed_us}
        record(uow, now, None, "node.overstate", f"node {node.node_id}", **facts)
        log.warning("node.overstates", node_id=str(node.node_id), **facts)


def _check_agent(uow: UnitOfWork, node: NodePrincipal, agent_id: AgentId) -> None:
    if agent_id not in uow.node_work.agents(node.queue):
        raise _unknown(agent_id)


def _unknown(agent_id: AgentId) -> NotFound:
    return NotFound("agent", agent_id, accepted="an agent of this node that has beaten")
