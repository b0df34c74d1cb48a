"""Keeping a job in hand while a step of it takes long: nobody else begins the same work, as long as this one lives."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event, Thread

import structlog

from backend.domain.errors import SwarmexError
from backend.domain.ids import TrainingJobId
from backend.storage.unit_of_work import UnitOfWork

Uow = Callable[[], UnitOfWork]

CLAIM = timedelta(seconds=10)  # nobody else looks at the job meanwhile; a step that takes longer harms nothing
RENEW_S = 3.0

log = structlog.get_logger(__name__)


@contextmanager
def held(uow: Uow, now: datetime, job_id: TrainingJobId) -> Iterator[None]:
    """The claim on a job is renewed every RENEW_S during the block; should that fail, another may join in."""
    over, began_s = Event(), time.monotonic()

    def renew() -> None:
        while not over.wait(RENEW_S):
            at = now + timedelta(seconds=time.monotonic() - began_s)
            try:
                with uow() as renewing:
                    renewing.training_jobs.let_go(job_id, at + CLAIM)
                    renewing.commit()
            except SwarmexError as error:
                log.warning("training.claim_not_renewed", job=str(job_id), error=repr(error))

    thread = Thread(target=renew, name="training-claim", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
