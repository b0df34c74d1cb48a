"""Queues, for the operator: how deep they are, what comes next, and their messages thrown away."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from backend.domain.access import Principal, Role
from backend.domain.balancing import Burden, Executor
from backend.domain.errors import Invalid, NotFound, Unavailable
from backend.domain.events import Event, Topic
from backend.domain.ids import UnitId
from backend.messaging.queue_view import Held, Peeked, QueueView
from backend.messaging.queues import TASK_KINDS, is_queue, kind_queue
from backend.services import balancing
from backend.services.log import record
from backend.storage.queues import Backlog, Left
from backend.storage.unit_of_work import UnitOfWork

PEEK_MAX = 200
NAMED_MAX = 10  # queues, in a refusal


@dataclass(frozen=True, slots=True)
class Depth:
    """A queue as the database has it, and as Redis does: None if Redis does not answer.

    Its executor is how quick who serves it is, and whether that has too much to do: None while nobody does.
    """

    queue: str
    backlog: Backlog
    oldest_s: float | None
    held: Held | None
    executor: tuple[Executor, Burden] | None


@dataclass(frozen=True, slots=True)
class Depths:
    """All queues that have anything or are served, and the items that are in none yet."""

    waiting: int
    queues: tuple[Depth, ...]
    redis_answers: bool


@dataclass(frozen=True, slots=True)
class Next:
    """A message that waits, and what is left of its unit: None if there is no such unit."""

    message: Peeked
    left: Left | None
    age_s: float | None


def depths(uow: UnitOfWork, now: datetime, principal: Principal, view: QueueView) -> Depths:
    """How deep every queue is. Admins only; answers without Redis as well."""
    principal.require(Role.ADMIN)
    with uow:
        backlogs = {backlog.queue: backlog for backlog in uow.queues.backlogs()}
        waiting = uow.queues.waiting()
    try:
        held: Mapping[str, Held] | None = view.held()
    except Unavailable:
        held = None
    executors = balancing.look(uow, now)
    names = sorted(backlogs.keys() | executors.keys() | (held or {}).keys())
    found = [_depth(name, backlogs.get(name), held, executors.get(name), now) for name in names]
    return Depths(waiting, tuple(found), held is not None)


def peek(uow: UnitOfWork, now: datetime, principal: Principal, view: QueueView, queue: str, limit: int) -> list[Next]:
    """The next messages of a queue, which stay where they are. Admins only."""
    principal.require(Role.ADMIN)
    _check(uow, view, queue)
    if not 1 <= limit <= PEEK_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {PEEK_MAX}")
    messages = view.peek(queue, limit)
    with uow:
        left = uow.queues.left({UnitId(message.unit_id) for message in messages if message.unit_id})
    return [_next(message, left, now) for message in messages]


def purge(uow: UnitOfWork, now: datetime, principal: Principal, view: QueueView, queue: str) -> tuple[int, int]:
    """Drop a queue's messages from Redis; units that still have work are sent again by the sweeper. Admins only.

    Returns how many messages were dropped, and how many units are sent again. What is dropped before Redis or the
    database fails is sent again as well, in its time.
    """
    principal.require(Role.ADMIN)
    _check(uow, view, queue)
    dropped = view.purge(queue)
    with uow:
        again = uow.queues.send_again(queue, now)
        record(uow, now, principal, "queue.purge", f"queue {queue}", messages=dropped, units_sent_again=again)
        uow.emit(Event(Topic.UNITS_READY))
        uow.commit()
    return dropped, again


def _depth(
    name: str,
    backlog: Backlog | None,
    held: Mapping[str, Held] | None,
    executor: tuple[Executor, Burden] | None,
    now: datetime,
) -> Depth:
    backlog = backlog or Backlog(name, 0, 0, 0, 0, None, 0)
    oldest_s = _age_s(backlog.oldest, now) if backlog.oldest else None
    return Depth(name, backlog, oldest_s, None if held is None else held.get(name, Held({}, 0)), executor)


def _next(message: Peeked, left: Mapping[UnitId, Left], now: datetime) -> Next:
    if message.unit_id is None or UnitId(message.unit_id) not in left:
        return Next(message, None, None)
    return Next(message, left[UnitId(message.unit_id)], _age_s(message.unit_id, now))


def _age_s(unit_id: UUID, now: datetime) -> float:
    """Time since a unit was made, which its UUIDv7 begins with."""
    made_at = datetime.fromtimestamp((unit_id.int >> 80) / 1_000, UTC)
    return max(0.0, (now - made_at).total_seconds())


def _check(uow: UnitOfWork, view: QueueView, queue: str) -> None:
    """Raise Invalid for what is no queue's name, NotFound for one that no node has and that holds nothing."""
    if not is_queue(queue):
        raise Invalid(
            f"{queue!r:.80} is not a queue of messages",
            code="invalid_queue",
            field="queue",
            accepted="pool.NAME, node.ID or kind.KIND, as `swarmex queue depth` shows them",
        )
    with uow:
        known = [name for name in uow.queues.of_nodes() if is_queue(name)]
    known += sorted({kind_queue(kind) for kind in TASK_KINDS.values()})
    if queue not in known and queue not in view.held():
        more = f" and {len(known) - NAMED_MAX} more" if len(known) > NAMED_MAX else ""
        raise NotFound("queue", f"{queue:.80}", accepted=", ".join(known[:NAMED_MAX]) + more)
