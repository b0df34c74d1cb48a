"""Which manager counts: each that starts takes a higher generation, and acts only while nobody has a higher one."""

import time
from collections.abc import Callable

import structlog

from backend.bootstrap import utc_now
from backend.domain.ids import AgentId
from backend.services import managers
from backend.storage.unit_of_work import UnitOfWork

UNSURE_S = 2.0  # for so long the database is not asked again when it did not answer

log = structlog.get_logger(__name__)


class Tenure:
    """One manager's time in office.

    While the database is away nobody can take over either, so the last answer holds.
    """

    def __init__(self, new_uow: Callable[[], UnitOfWork], manager_id: AgentId) -> None:
        self._new_uow = new_uow
        self.generation = managers.take_over(new_uow(), utc_now(), manager_id)
        self._current = True
        self._unsure_until_s = 0.0
        log.info("manager.took_over", generation=self.generation)

    def is_current(self) -> bool:
        """Whether nobody has taken over; asked before every call of an engine. Once False it stays so."""
        if self._current and time.monotonic() >= self._unsure_until_s:
            try:
                known = managers.manager_of(self._new_uow())
            except Exception as error:  # of any layer below: the database is away
                self._unsure_until_s = time.monotonic() + UNSURE_S
                log.warning("manager.unsure", generation=self.generation, error=repr(error))
            else:
                self._current = known is not None and known.generation == self.generation
        return self._current
