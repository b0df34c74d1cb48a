"""A Celery application with the project's settings and one task that does nothing, for a worker process."""

import os

from backend.messaging.celery_app import celery_app
from tests.performance.celery_peer import RESULTS, TASK, app_with_results

app = (app_with_results if RESULTS in os.environ else celery_app)(os.environ["SWARMEX_REDIS_URL"])


@app.task(name=TASK, shared=False)  # type: ignore[untyped-decorator]  # Celery ships no types
def noop() -> None:
    """Do nothing."""
