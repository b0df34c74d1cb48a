"""Placing a batch's chunks as orders, a few at a time: each with its hold, in the transaction that marks its chunk.

A chunk and its order are written together or not at all, so whoever dies in between has placed nothing, and nobody
places a chunk twice. Where there is no capacity a chunk waits and is tried again until the batch expires. Where money
is short it waits as long as orders of this batch still hold some; then its lines fail with the reason. So it is with
room for results: a chunk is promised what its results should fill before it runs, since what ran is kept.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil

import orjson

from backend.domain.batches import BatchState
from backend.domain.errors import BudgetExceeded, InsufficientFunds, Invalid, SwarmexError, Unavailable
from backend.domain.money import format_credits
from backend.domain.orders import DEADLINE_S_MAX, WorkloadKind, WorkloadRequest
from backend.services.batch_lines import line_error, split_lines
from backend.services.batch_room import promise, room_of
from backend.services.placement import Catalogue, Plan, catalogue, place, plan
from backend.storage.batch_chunks import StoredChunk
from backend.storage.batches import Batch
from backend.storage.contention import patient
from backend.storage.files import key_of
from backend.storage.objects import ObjectStore
from backend.storage.order_rows import Order
from backend.storage.unit_of_work import UnitOfWork

Uow = Callable[[], UnitOfWork]

OPEN_ORDERS_MAX = 12  # of one batch: bounds what it holds on the wallet, and what waits in the database
PLACE_MAX = 6  # orders in one transaction
PLACE_BYTES_MAX = 24 << 20  # of input read for them
RETRY_S = 2.0
BUDGET_TOO_LOW = "budget_too_low"


@dataclass(frozen=True, slots=True)
class Asked:
    """A chunk, and the order that it asks for; its lines were checked when the batch was."""

    chunk: StoredChunk
    request: WorkloadRequest

    @property
    def rows(self) -> list[int]:
        """Rows of each of its requests."""
        return [rows for _, _, rows in self.chunk.lines]


@dataclass(frozen=True, slots=True)
class Placed:
    """What one turn did: orders placed, chunks that wait, chunks refused."""

    orders: int = 0
    waiting: int = 0
    refused: int = 0


NOTHING = Placed()


def place_more(uow: Uow, now: datetime, objects: ObjectStore, batch: Batch) -> Placed:
    """Place the next chunks of a batch, as far as it may have more orders open."""
    with uow() as reading:
        room = min(PLACE_MAX, OPEN_ORDERS_MAX - reading.batch_chunks.spending(batch.id).open_orders)
        chunks = reading.batch_chunks.waiting(batch.id, now, room) if room > 0 else []
        if chunks:
            promises = promise(room_of(reading, batch), chunks)
            if promises.left.comes_back:  # what does not fit need not be read yet
                chunks = [chunk for chunk in chunks if chunk.id in promises.promised]
    ready = list(_bounded(chunks))
    if not ready:
        return NOTHING
    try:
        asked = [Asked(chunk, _request(objects, batch, chunk, now)) for chunk in ready]
    except FileNotFoundError:
        return _refuse(uow(), ready, Invalid("the input file is gone", code="input_gone", field="input_file_id"))
    return _place(uow(), now, batch, asked)


def _bounded(chunks: Sequence[StoredChunk]) -> Iterator[StoredChunk]:
    total = 0
    for chunk in chunks:
        total += chunk.to_byte - chunk.from_byte
        if total > PLACE_BYTES_MAX and total > chunk.to_byte - chunk.from_byte:
            return
        yield chunk


def _request(objects: ObjectStore, batch: Batch, chunk: StoredChunk, now: datetime) -> WorkloadRequest:
    """The order that a chunk asks for; its lines are read again, and only they are kept."""
    wanted = {custom_id for _, custom_id, _ in chunk.lines}
    bodies: dict[str, Mapping[str, object]] = {}
    for offset, raw in split_lines(objects.chunks(key_of(batch.input_file_id), chunk.from_byte)):
        if offset + chunk.from_byte >= chunk.to_byte:
            break
        if raw and raw.strip():
            said = orjson.loads(raw)
            if said["custom_id"] in wanted:
                bodies[said["custom_id"]] = said["body"]
    options = batch.options
    return WorkloadRequest(
        workload=WorkloadKind.BATCH,
        model=chunk.model,
        model_version=chunk.version,
        tier=options.tier,
        requests=[bodies[custom_id] for _, custom_id, _ in chunk.lines],
        priority=options.priority,
        limit_nano_per_slot_s=options.limit_nano,
        region=options.region,
        slots=min(options.slots, len(chunk.lines)),
        deadline_s=min(DEADLINE_S_MAX, max(1, ceil((batch.expires_at - now).total_seconds()))),
    )


@patient
def _place(uow: UnitOfWork, now: datetime, batch: Batch, asked: Sequence[Asked]) -> Placed:
    with uow:
        current = uow.batches.find(batch.id, for_update=True)
        if current is None or current.state is not BatchState.IN_PROGRESS:
            return NOTHING
        spending = uow.batch_chunks.spending(batch.id)
        room = OPEN_ORDERS_MAX - spending.open_orders
        free = [chunk.id for chunk in uow.batch_chunks.waiting(batch.id, now, max(0, room), for_update=True)]
        uow.files.lock_account(batch.account_id)
        promises = promise(room_of(uow, current), [one.chunk for one in asked if one.chunk.id in free])
        promised, full = promises.promised, promises.full
        if full and not promises.left.comes_back:
            uow.batch_chunks.mark_refused({chunk: _reason(error) for chunk, error in full.items()})
            uow.commit()
            return Placed(refused=len(full))
        asked = [one for one in asked if one.chunk.id in promised]
        if not asked:
            return NOTHING
        left = None
        if batch.options.max_budget_nano is not None:
            left = batch.options.max_budget_nano - spending.charged_nano - spending.open_nano
        plans = _plans(uow, now, asked, left)
        outcomes = {
            one.chunk.id: outcome for one, outcome in zip(asked, place(uow, now, batch.spender, plans), strict=True)
        }
        placed = {
            chunk: (outcome.id, promised[chunk]) for chunk, outcome in outcomes.items() if isinstance(outcome, Order)
        }
        refused = {chunk: outcome for chunk, outcome in outcomes.items() if isinstance(outcome, SwarmexError)}
        holding = bool(spending.open_orders or placed)
        waiting = {chunk: _reason(error) for chunk, error in refused.items() if _may_come(error, holding=holding)}
        uow.batch_chunks.mark_placed(placed)
        uow.batch_chunks.retry(waiting, now + timedelta(seconds=RETRY_S))
        failed = {chunk: _reason(error) for chunk, error in refused.items() if chunk not in waiting}
        uow.batch_chunks.mark_refused(failed)
        uow.commit()
    return Placed(len(placed), len(waiting), len(failed))


def _plans(uow: UnitOfWork, now: datetime, asked: Sequence[Asked], left_nano: int | None) -> list[Plan | SwarmexError]:
    """Plans within what is left of the batch's budget, the earlier ones first."""
    known = catalogue(uow, now, [one.request for one in asked])
    plans: list[Plan | SwarmexError] = []
    for one in asked:
        try:
            if left_nano is None:
                planned = plan(one.request, known, one.rows)
            else:
                planned = _within(one, left_nano, known)
                left_nano -= planned.terms.worst_case_nano
            plans.append(planned)
        except SwarmexError as error:
            plans.append(error)
    return plans


def _within(asked: Asked, left_nano: int, known: Catalogue) -> Plan:
    """A plan for at most so much, at a limit that can be expected to trade: another would wait until the batch ends."""
    if left_nano > 0:
        planned = plan(replace(asked.request, max_budget_nano=left_nano), known, asked.rows)
        if asked.request.limit_nano_per_slot_s or planned.terms.limit_nano >= min(m.spot_nano for m in planned.markets):
            return planned
    raise Invalid(
        f"{format_credits(max(0, left_nano))} credits of the batch's budget are left, too few for these requests",
        code=BUDGET_TOO_LOW,
        field="metadata.swarmex_max_budget",
        accepted="a higher budget for what is left",
    )


def _may_come(error: SwarmexError, *, holding: bool) -> bool:
    """Whether it can be served later: capacity may come, and money that the batch's own orders hold comes back."""
    if isinstance(error, Unavailable):
        return True
    return holding and (isinstance(error, InsufficientFunds | BudgetExceeded) or error.code == BUDGET_TOO_LOW)


def _reason(error: SwarmexError) -> Mapping[str, object]:
    return line_error(None, error).document()


@patient
def _refuse(uow: UnitOfWork, chunks: Sequence[StoredChunk], error: SwarmexError) -> Placed:
    with uow:
        uow.batches.find(chunks[0].batch_id, for_update=True)
        waiting = [chunk for chunk in chunks if uow.batch_chunks.lock(chunk.id).state == "waiting"]
        uow.batch_chunks.mark_refused({chunk.id: _reason(error) for chunk in waiting})
        uow.commit()
    return Placed(refused=len(waiting))
