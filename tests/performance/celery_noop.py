"""A Celery application as it comes with one task that does nothing, for a worker process."""

import os

from tests.performance.celery_peer import RESULTS, TASK, bare_app

app = bare_app(os.environ["SWARMEX_REDIS_URL"], RESULTS in os.environ)


@app.task(name=TASK, shared=False)  # type: ignore[untyped-decorator]  # Celery ships no types
def noop() -> None:
    """Do nothing."""
