"""Consumes queues of work in a thread, one unit at a time, for as long as its owner wants.

Celery's own worker does the work; this keeps one running: a fresh worker is started whenever the old one ends
because Redis went away. No signal handler of Celery's is installed: stopping is the owner's decision. One
consumer per process, since Celery's event loop is process-wide.
"""

import logging
from collections.abc import Sequence
from random import uniform
from threading import Event, Thread
from typing import Any

import structlog
from celery import Celery
from celery.bootsteps import RUN
from celery.exceptions import WorkerShutdown
from redis.exceptions import RedisError

from backend.messaging.redis_client import connect

RETRY_FIRST_S = 0.1
RETRY_MAX_S = 1.0
CHECK_EVERY_S = 1.0

log = structlog.get_logger(__name__)


class UnitConsumer:
    """Runs its queues' tasks in its thread (`solo` pool), most urgent first, acknowledged when done.

    Of equally urgent ones those of the first queue go first; `shared` queues are consumed by others as well.
    """

    def __init__(self, app: Celery, queue: str, name: str, *, shared: Sequence[str] = ()) -> None:
        self._app = app
        self._queue = queue
        self._queues = [queue, *shared]
        self._name = name
        self._redis = connect(app.conf.broker_url)
        self._worker: Any = None
        self._stopping = Event()
        self._ready = Event()
        self._thread = Thread(target=self._keep_consuming, name=f"consumer {queue}", daemon=True)

    def start(self) -> None:
        """Begin to consume; returns at once."""
        for noisy in ("celery.worker.strategy", "celery.app.trace"):
            # They write two lines per unit; the runner writes one, with what happened to its items.
            logging.getLogger(noisy).setLevel(logging.WARNING)
        self._thread.start()

    def wait_ready(self, timeout_s: float) -> bool:
        """Whether the queue is being consumed, waiting up to `timeout_s` for it."""
        return self._ready.wait(timeout_s)

    def stop(self) -> None:
        """Take no more units; the one that is running is finished. Returns at once."""
        self._stopping.set()
        self._ask_to_end(self._worker)

    def join(self, timeout_s: float) -> bool:
        """Whether the thread has ended, or never began, within `timeout_s`."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _keep_consuming(self) -> None:
        self._app.set_current()  # of this thread: Celery looks tasks up there
        retry_s = RETRY_FIRST_S
        while not self._stopping.is_set():
            if self._broker_answers():
                retry_s = RETRY_FIRST_S
                self._consume()
                self._ready.clear()
            self._stopping.wait(uniform(0.5, 1.0) * retry_s)  # noqa: S311  # jitter, not a secret
            retry_s = min(2 * retry_s, RETRY_MAX_S)
        self._redis.close()
        log.info("consumer.stopped", queue=self._queue)

    def _broker_answers(self) -> bool:
        try:
            return bool(self._redis.ping())
        except (RedisError, OSError):
            return False

    def _consume(self) -> None:
        """One worker from its connection to its end, whether that was asked for or not."""
        try:
            self._worker = self._app.WorkController(
                pool="solo",
                concurrency=1,
                queues=self._queues,
                hostname=self._name,
                without_gossip=True,
                without_mingle=True,
                ready_callback=self._on_ready,
            )
            self._worker.start()
        except (Exception, SystemExit) as error:  # whatever Celery raises, the queue must be consumed again
            log.warning("consumer.failed", queue=self._queue, error=repr(error))

    def _on_ready(self, _consumer: object) -> None:
        log.info("consumer.ready", queue=self._queue)
        self._ready.set()
        self._worker.hub.call_repeatedly(CHECK_EVERY_S, _end_if_stuck, self._worker)
        if self._stopping.is_set():
            self._ask_to_end(self._worker)

    def _ask_to_end(self, worker: Any) -> None:
        hub = getattr(worker, "hub", None)
        if hub is not None:
            hub.call_soon(_end, worker)


def _end(worker: Any) -> None:
    """In the worker's own thread; a worker that is ending already is let be.

    By way of a timer: an exception here would throw away the callbacks that are ready together with this one, and
    the acknowledgement of the last unit may be among them.
    """
    if worker.blueprint.state == RUN:
        worker.hub.call_later(0, _shut_down)


def _shut_down() -> None:
    raise WorkerShutdown(0)


def _end_if_stuck(worker: Any) -> None:
    """Give way to a fresh worker if this one is idle and yet believes that it holds a message.

    That is how it is left when Redis goes away while a unit runs: the acknowledgement fails, the one place of the
    prefetch is never given back, so the queue is not asked again and the lost connection never noticed.
    """
    if worker.blueprint.state == RUN and not worker.consumer.task_consumer.channel.qos.can_consume():
        log.warning("consumer.stuck", queues=[queue.name for queue in worker.consumer.task_consumer.queues])
        _shut_down()
