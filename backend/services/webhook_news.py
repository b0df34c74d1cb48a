"""What an account's webhook was told of a thing's end, or is still to be: for those who ask the thing itself."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from backend.domain.ids import OrderId
from backend.storage.account_deliveries import AccountDelivery
from backend.storage.batches import Batch
from backend.storage.training_jobs import TrainingJob
from backend.storage.unit_of_work import UnitOfWork


class NewsState(StrEnum):
    """waits for the end → owed, tried again and again → told or given up."""

    WAITING = "waiting"
    OWED = "owed"
    TOLD = "told"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class News:
    """How far the telling is; `status` and `error` are of the last attempt, `due_at` is when the next may begin."""

    url: str
    state: NewsState
    attempts: int = 0
    status: int | None = None
    error: str | None = None
    due_at: datetime | None = None


def order_news(uow: UnitOfWork, order_id: OrderId) -> News | None:
    """What the webhook of an order was told; None if it has none, or was told too long ago."""
    with uow:
        url = uow.order_webhooks.url_of(order_id)
        told = uow.account_deliveries.of_subject(f"order {order_id}")
    return News(url, NewsState.WAITING) if url else _of(told)


def batch_news(uow: UnitOfWork, batch: Batch) -> News | None:
    """The same of a batch."""
    if batch.webhook is None:
        return None
    with uow:
        told = uow.account_deliveries.of_subject(f"batch {batch.id}")
    return _of(told) or (News(batch.webhook, NewsState.WAITING) if batch.ended_at is None else None)


def training_news(uow: UnitOfWork, job: TrainingJob) -> News | None:
    """The same of a training job."""
    if job.spec.webhook is None:
        return None
    with uow:
        told = uow.account_deliveries.of_subject(f"training job {job.id}")
    return _of(told) or (News(job.spec.webhook, NewsState.WAITING) if job.ended_at is None else None)


def _of(deliveries: list[AccountDelivery]) -> News | None:
    if not deliveries:
        return None
    last = deliveries[-1]
    if last.done_at is None:
        return News(last.url, NewsState.OWED, last.attempts, last.status, last.error, last.due_at)
    state = NewsState.TOLD if last.error is None else NewsState.GIVEN_UP
    return News(last.url, state, last.attempts, last.status, last.error)
