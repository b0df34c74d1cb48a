"""The end of a batch: what has not been sent to an executor is stopped, what is in flight ends, results become files.

What a stopped order does not use of its hold, settlement gives back in the transaction that ends the order; nothing
is charged here. File ids are decided before the files are written, so that who comes after a crash writes the same.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from backend.domain.batches import FINAL, BatchState
from backend.domain.events import Event, Topic
from backend.domain.files import RETENTION, FilePurpose
from backend.domain.ids import FileId
from backend.domain.orders import CloseReason, OrderState
from backend.services.batch_claims import Claim
from backend.services.batch_collecting import ERRORS, NOT_RUN, OUTPUTS, part_key, parts_folder, write_parts
from backend.services.batch_telling import owe
from backend.storage import temporary
from backend.storage.batches import Batch
from backend.storage.contention import patient
from backend.storage.files import File, key_of
from backend.storage.ids import new_id
from backend.storage.objects import ObjectStore
from backend.storage.unit_of_work import UnitOfWork

Uow = Callable[[], UnitOfWork]

STOP_MAX = 100  # orders in one transaction
COPY_BYTES = 1 << 20


@patient
def expire(uow: UnitOfWork, now: datetime, batch: Batch) -> bool:
    """Let a batch end whose time is over; returns whether that was decided now."""
    with uow:
        current = uow.batches.find(batch.id, for_update=True)
        if current is None or current.state is not BatchState.IN_PROGRESS or now < current.expires_at:
            return False
        uow.batches.write(replace(current, state=BatchState.FINALIZING, ending=BatchState.EXPIRED, finalizing_at=now))
        uow.commit()
    return True


@patient
def complete(uow: UnitOfWork, now: datetime, batch: Batch) -> bool:
    """Let a batch end of which every chunk is collected; returns whether that was decided now."""
    with uow:
        current = uow.batches.find(batch.id, for_update=True)
        if current is None or current.state is not BatchState.IN_PROGRESS:
            return False
        if current.completed + current.failed < current.total:
            return False
        uow.batches.write(replace(current, state=BatchState.FINALIZING, ending=BatchState.COMPLETED, finalizing_at=now))
        uow.commit()
    return True


@patient
def stop(uow: UnitOfWork, batch: Batch) -> int:
    """Place no more of a batch, and stop what waits; returns how many orders were touched. As often as need be:
    what a lost node had in hand waits again.
    """
    code, message = NOT_RUN[batch.ending or BatchState.CANCELLED]
    expired = batch.ending is BatchState.EXPIRED
    with uow:
        uow.batches.find(batch.id, for_update=True)
        uow.batch_chunks.refuse_waiting(batch.id, {"code": code, "message": message, "param": None}, with_why=expired)
        ids = uow.batch_chunks.stoppable_orders(batch.id, STOP_MAX)
        orders = [o for o in uow.orders.lock(ids) if o.state in (OrderState.OPEN, OrderState.RUNNING)]
        if orders:
            uow.batch_chunks.cancel_waiting([order.id for order in orders])
            left = uow.work.left([order.id for order in orders])
            reason = CloseReason.DEADLINE_PASSED if expired else CloseReason.CANCELLED_BY_USER
            uow.orders.begin_close([(order.id, reason) for order in orders if not left[order.id].unsettled])
            uow.emit(Event(Topic.WORK_COMMITTED))  # settlement has something to do
        uow.commit()
    return len(orders)


def finish(uow: Uow, now: datetime, objects: ObjectStore, batch: Batch) -> bool:
    """Write a batch's files and its final state, once all its chunks are collected; returns whether it has ended."""
    decided = _decide_files(uow(), now, batch)
    if decided is None:
        return False
    with uow() as reading:
        results = reading.batch_chunks.results(batch.id)
    claim = Claim(uow, batch, now)
    files = []
    for kind, file_id, numbers in (
        (OUTPUTS, decided.output_file_id, [number for number, completed, _ in results if completed]),
        (ERRORS, decided.error_file_id, [number for number, _, failed in results if failed]),
    ):
        if file_id is not None:
            size = _join(uow, objects, decided, claim, numbers, kind, key_of(file_id))
            name = f"batch_{batch.id.hex}_{kind}.jsonl"
            expires_at = now + RETENTION
            files.append(
                File(file_id, batch.account_id, FilePurpose.BATCH_OUTPUT, name, size, now, expires_at, ready_at=now)
            )
    ended = _end(uow(), now, batch, files)
    if not ended:
        _clear(uow, objects, batch, files)
    return ended


def _clear(uow: Uow, objects: ObjectStore, batch: Batch, files: Sequence[File]) -> None:
    """Remove what was written of a batch that another had ended meanwhile, and whose parts were removed, perhaps."""
    objects.delete_folder(parts_folder(batch.id))
    with uow() as reading:
        recorded = reading.files.recorded([file.id for file in files])
    for file in files:
        if file.id not in recorded:  # deleted since, and swept
            objects.delete(file.key)


@patient
def _decide_files(uow: UnitOfWork, now: datetime, batch: Batch) -> Batch | None:
    with uow:
        current = uow.batches.find(batch.id, for_update=True)
        if current is None or current.state in FINAL or current.completed + current.failed < current.total:
            return None
        ending = current.ending
        if ending is BatchState.EXPIRED and not uow.batch_chunks.any_unrun(batch.id, NOT_RUN[ending][0]):
            ending = BatchState.COMPLETED  # nothing was left to run when its time was over
        decided = replace(
            current,
            ending=ending,
            finalizing_at=current.finalizing_at or now,
            output_file_id=current.output_file_id or (FileId(new_id()) if current.completed else None),
            error_file_id=current.error_file_id or (FileId(new_id()) if current.failed else None),
        )
        uow.batches.write(decided)
        uow.commit()
    return decided


@patient
def _end(uow: UnitOfWork, now: datetime, batch: Batch, files: Sequence[File]) -> bool:
    with uow:
        current = uow.batches.find(batch.id, for_update=True)
        if current is None or current.state in FINAL or current.ending is None:
            return False
        ended = replace(current, state=current.ending, ended_at=now)
        uow.files.add(files, again=True)
        uow.batches.write(ended)
        owe(uow, now, ended)
        uow.commit()
    return True


@patient
def _tidied(uow: UnitOfWork, now: datetime, batch: Batch) -> None:
    with uow:
        current = uow.batches.find(batch.id, for_update=True)
        if current is not None:
            uow.batches.write(replace(current, tidied_at=now))
            uow.commit()


def tidy(uow: Uow, now: datetime, objects: ObjectStore, batch: Batch) -> None:
    """Remove the parts that the files of a batch, which has ended, were made of."""
    objects.delete_folder(parts_folder(batch.id))
    _tidied(uow(), now, batch)


def _join(
    uow: Uow, objects: ObjectStore, batch: Batch, claim: Claim, numbers: Sequence[int], kind: str, key: str
) -> int:
    """Store the parts of these chunks one behind the other; returns the bytes of all."""
    with temporary.folder() as folder:
        whole, part = folder / "whole", folder / "part"
        with whole.open("wb") as target:
            for number in numbers:
                _fetch(uow, objects, batch, number, kind, part)
                with part.open("rb") as source:
                    shutil.copyfileobj(source, target, COPY_BYTES)
                claim.keep()
        objects.put_file(whole, key, replace=True)
        return whole.stat().st_size


def _fetch(uow: Uow, objects: ObjectStore, batch: Batch, number: int, kind: str, path: Path) -> None:
    """A part; one that is missing, after a restore perhaps, is written anew from what ran."""
    key = part_key(batch.id, number, kind)
    try:
        objects.get_file(key, path)
    except FileNotFoundError:
        with uow() as reading:
            chunk = reading.batch_chunks.find(batch.id, number)
        write_parts(uow, objects, batch, chunk)
        objects.get_file(key, path)
