"""Claims on batches: while somebody has one in hand, nobody else looks at it."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from backend.storage.batches import Batch
from backend.storage.unit_of_work import UnitOfWork

CLAIM = timedelta(seconds=30)  # a step that takes longer harms nothing, but is done twice
RENEW_S = 10.0


class Claim:
    """The claim that somebody took on a batch at `now`, for steps that may take longer than CLAIM."""

    def __init__(self, uow: Callable[[], UnitOfWork], batch: Batch, now: datetime) -> None:
        self._uow, self._batch, self._now = uow, batch, now
        self._began_s = self._kept_s = time.monotonic()

    def keep(self) -> None:
        """Say that the work goes on; called between its parts, as often as may be."""
        at_s = time.monotonic()
        if at_s - self._kept_s >= RENEW_S:
            with self._uow() as uow:
                uow.batches.let_go(self._batch.id, self._now + timedelta(seconds=at_s - self._began_s) + CLAIM)
                uow.commit()
            self._kept_s = at_s
