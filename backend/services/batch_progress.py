"""How far batches are, requests of orders under way included: their results are not collected yet, but they ran."""

from collections.abc import Sequence
from datetime import datetime

from backend.domain.batch_progress import Progress, progress
from backend.domain.batches import BatchState
from backend.domain.ids import BatchId
from backend.storage.batch_chunks import Waiting
from backend.storage.batches import Batch
from backend.storage.unit_of_work import UnitOfWork


def waits_for(uow: UnitOfWork, batches: Sequence[Batch]) -> dict[BatchId, Waiting]:
    """Why batches wait, in one statement: why most of their orders got no slots when the market was cleared last, or
    could not even be placed. Those of which an order runs wait for nothing.
    """
    running = [batch.id for batch in batches if batch.state is BatchState.IN_PROGRESS]
    if not running:
        return {}
    with uow:
        return uow.batch_chunks.why_waiting(running)


def progress_of(uow: UnitOfWork, now: datetime, batches: Sequence[Batch]) -> dict[BatchId, Progress]:
    """Progress of each of these batches, in one statement."""
    with uow:
        ran = uow.batch_chunks.ran_of([batch.id for batch in batches if batch.ended_at is None])
    return {
        batch.id: progress(
            # What is collected in between is counted once: the batch was read before.
            min(batch.total, batch.completed + batch.failed + ran.get(batch.id, 0)),
            batch.total,
            batch.in_progress_at,
            batch.ended_at or now,
            runs=batch.state is BatchState.IN_PROGRESS,
        )
        for batch in batches
    }
