"""Works on batches beside an agent's own duties, in threads of its own: neither a large file nor a webhook that hangs
keeps an order from being settled. Replicas share batches and deliveries row by row.
"""

import time
from datetime import datetime
from random import random
from threading import Event, Thread

from agents.chores import Chore, run_due
from agents.looking import keep_looking
from backend.bootstrap import Swarmex, utc_now
from backend.domain.events import Topic
from backend.services import batch_run, batch_telling, files

DELIVER_EVERY_S = 1.0
SWEEP_EVERY_S = 60.0
PARTIALS_EVERY_S = 6 * 3_600.0  # since the whole store is listed for it
TURN_S = 0.2
STOP_TIMEOUT_S = 3.0  # what a step or a round of webhooks was at then, another begins anew


class Batches:
    """Started and stopped with its agent."""

    def __init__(self, app: Swarmex) -> None:
        self._app = app
        self._stopping = Event()
        self._threads = [
            Thread(target=self._keep_working, name="batches", daemon=True),
            Thread(target=self._keep_tidy, name="batch-webhooks", daemon=True),
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End within STOP_TIMEOUT_S; whatever a step was at, another begins it anew."""
        self._stopping.set()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def work(self, now: datetime) -> bool:
        """One step with one batch; returns whether there was one."""
        return batch_run.work(self._app.uow, now, self._app.objects)

    def deliver(self, now: datetime) -> bool:
        """One round of what accounts' webhooks are owed."""
        app = self._app
        more = batch_telling.owe_ended_orders(app.uow(), now)
        sent = batch_telling.deliver(app.uow(), now, app.link_secret, app.account_webhooks.send, random())
        return more or sent == batch_telling.SEND_MAX

    def sweep(self, now: datetime) -> bool:
        """One round of files that are to go."""
        return files.sweep(self._app.uow(), now, self._app.objects)

    def sweep_partials(self, now: datetime) -> bool:
        """One round of what is half written since long ago."""
        return files.sweep_partials(now, self._app.objects)

    def _keep_working(self) -> None:
        topics = (Topic.BATCHES_CHANGED, Topic.ORDERS_CLOSED)
        keep_looking(self._app, Chore("batches", self.work), topics, self._stopping)

    def _keep_tidy(self) -> None:
        chores = [
            Chore("webhooks", self.deliver, DELIVER_EVERY_S),
            Chore("files", self.sweep, SWEEP_EVERY_S),
            Chore("partials", self.sweep_partials, PARTIALS_EVERY_S),
        ]
        while not self._stopping.is_set():
            if not run_due(chores, utc_now(), time.monotonic(), random()):
                self._stopping.wait(TURN_S)
