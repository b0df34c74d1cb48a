"""Batches step by step: one batch is taken in hand, one small step is done with it, and it is let go.

Every step looks at what is recorded and is written in transactions of its own, so that it may be broken off anywhere
and be done again by anybody: the claim on a batch only spares replicas each other's work.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from backend.domain.batches import FINAL, BatchState
from backend.services.batch_claims import CLAIM
from backend.services.batch_collecting import COLLECT_MAX, collect
from backend.services.batch_ending import complete, expire, finish, stop, tidy
from backend.services.batch_placing import PLACE_MAX, place_more
from backend.services.batch_validation import validate
from backend.storage.batches import Batch
from backend.storage.objects import ObjectStore
from backend.storage.unit_of_work import UnitOfWork

Uow = Callable[[], UnitOfWork]

LOOK_EVERY = timedelta(seconds=0.25)  # at a batch that has nothing to do but wait for its orders


def work(uow: Uow, now: datetime, objects: ObjectStore) -> bool:
    """Do one step with the batch that waited longest; returns whether there may be more to do at once."""
    with uow() as claiming:
        batch = claiming.batches.claim(now, now + CLAIM)
        claiming.commit()
    if batch is None:
        return False
    busy = step(uow, now, objects, batch)
    with uow() as letting:
        letting.batches.let_go(batch.id, now if busy else now + LOOK_EVERY)
        letting.commit()
    return True


def step(uow: Uow, now: datetime, objects: ObjectStore, batch: Batch) -> bool:
    """One step with a batch as it was read; returns whether there is more to do at once.

    A few orders that ended are no reason to look again at once: in a moment there are more of them, and a step costs
    the same for all that it finds.
    """
    if batch.state in FINAL:
        tidy(uow, now, objects, batch)
        return True
    if batch.state is BatchState.VALIDATING:
        validate(uow, now, objects, batch)
        return True
    if batch.state is BatchState.IN_PROGRESS and expire(uow(), now, batch):
        return True
    collected = collect(uow, objects, batch)
    if batch.state is BatchState.IN_PROGRESS:
        placed = place_more(uow, now, objects, batch)
        more = collected == COLLECT_MAX or placed.orders == PLACE_MAX or placed.refused > 0
        return complete(uow(), now, batch) or more
    if batch.ending is not BatchState.COMPLETED:
        stopped = stop(uow(), batch)
        return finish(uow, now, objects, batch) or bool(collected or stopped)
    return finish(uow, now, objects, batch) or bool(collected)
