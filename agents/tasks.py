"""Celery task bodies: they translate a message into a call, and nothing else."""

from collections.abc import Callable
from uuid import UUID

from celery import Celery

from backend.domain.ids import UnitId
from backend.messaging.queues import RUN_UNIT


def register_run_unit(app: Celery, run: Callable[[UnitId], object]) -> None:
    """Make `run` the body of the task that runs a unit; a malformed id is logged by Celery and dropped."""

    def run_unit(unit_id: str) -> None:
        run(UnitId(UUID(unit_id)))

    # Celery would share it with every application of the process, and a second one would get the first one's.
    app.task(name=RUN_UNIT, shared=False)(run_unit)
