"""What a bare Celery task costs: publish no-ops one by one while a worker process of its own runs them."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from celery import Celery

TASK = QUEUE = "benchmark.noop"
RESULTS = "SWARMEX_BENCHMARK_RESULTS"  # set in a worker that keeps what its tasks return
UNACKED = "unacked"  # where Celery keeps what is being worked on
POLL_S = 0.005
START_TIMEOUT_S = 30.0
DRAIN_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
RESULTS_KEPT_S = 300
ROOT = Path(__file__).parents[2]


def bare_app(redis_url: str, results: bool) -> Celery:
    """Celery as it comes: none of the settings by which the project loses nothing (late acks, events, prefetch 1)."""
    app = Celery("bare", broker=redis_url, backend=redis_url if results else None)
    app.conf.update(
        broker_connection_retry_on_startup=True, task_ignore_result=not results, result_expires=RESULTS_KEPT_S
    )
    return app


class BareCelery:
    """A solo worker in a process of its own, and a publisher in this one; both on Celery's own settings.

    With `results` each task's result is kept in Redis and awaited by the publisher, as whoever wants to know that
    something was done must.
    """

    def __init__(self, redis_url: str, results: bool = False) -> None:
        self._results = results
        self._app = bare_app(redis_url, results)
        self._redis = redis.Redis.from_url(redis_url, socket_timeout=5)
        command = [sys.executable, "-m", "celery", "--app", "tests.performance.celery_noop", "worker"]
        command += ["--pool", "solo", "--queues", QUEUE, "--loglevel", "ERROR", "--without-gossip", "--without-mingle"]
        self._worker = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"SWARMEX_REDIS_URL": redis_url} | ({RESULTS: "1"} if results else {}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        try:
            self._app.send_task(TASK, queue=QUEUE)
            self._drain(START_TIMEOUT_S)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def tasks_per_s(self, count: int) -> float:
        """From the first publish to the last acknowledgement, or result, both processes at work at the same time."""
        started = time.perf_counter()
        sent = [self._app.send_task(TASK, queue=QUEUE) for _ in range(count)]
        if self._results:
            for task in sent:
                task.get(timeout=DRAIN_TIMEOUT_S)
        self._drain(DRAIN_TIMEOUT_S)
        return count / (time.perf_counter() - started)

    def _drain(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self._redis.llen(QUEUE) or self._redis.hlen(UNACKED):
            if self._worker.poll() is not None:
                raise RuntimeError(f"the Celery worker ended with {self._worker.returncode}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"the Celery worker did not run its tasks within {timeout_s} s")
            time.sleep(POLL_S)

    def _end(self) -> None:
        self._worker.terminate()
        try:
            self._worker.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._worker.kill()
            self._worker.wait(STOP_TIMEOUT_S)
        self._app.close()
        self._redis.close()
