"""What the webhook of a training job is owed at its end; it is sent with those of batches and orders."""

from datetime import datetime

from backend.domain.federated.jobs import PREFIX
from backend.domain.ids import DeliveryId
from backend.storage.account_deliveries import AccountDelivery
from backend.storage.ids import new_id
from backend.storage.training_jobs import TrainingJob
from backend.storage.unit_of_work import UnitOfWork


def owe(uow: UnitOfWork, now: datetime, job: TrainingJob) -> None:
    """Owe a job's webhook the news of its end, if it has one, inside an open unit of work."""
    if job.spec.webhook is None:
        return
    delivery = DeliveryId(new_id())
    body = {
        "id": f"evt_{delivery.hex}",
        "object": "event",
        "type": f"training_job.{job.state}",
        "created_at": int(now.timestamp()),
        "data": {"id": f"{PREFIX}{job.id.hex}", "reason": job.reason and str(job.reason), "rounds": job.round},
    }
    subject = f"training job {job.id}"
    uow.account_deliveries.add(
        [
            AccountDelivery(
                id=delivery, account_id=job.account_id, subject=subject, url=job.spec.webhook, body=body, due_at=now
            )
        ]
    )
