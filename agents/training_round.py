"""The training-round agent: drives federated rounds step by step, in threads of their own beside its signs of life.

Replicas share jobs row by row; what one was at when it ended, another begins anew.
"""

import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from random import random
from threading import Event, Thread
from typing import ClassVar

import numpy as np
import structlog

from agents.base import Identity, Pace
from agents.chores import Chore, run_due
from agents.direct import DirectAgent
from agents.looking import keep_looking
from agents.presence import TELL_EVERY_S, Presence
from agents.trainers import accountant
from agents.trainers.base import NoData, TrainerFailed, UnknownTrainer
from agents.trainers.host import TrainerHost
from backend.bootstrap import Swarmex, utc_now
from backend.domain.events import Topic
from backend.domain.federated.jobs import PrivacyMode
from backend.domain.federated.tasks import Scalar
from backend.services import training_run
from backend.services.trainers import TrainerFacts, announce
from backend.services.training_tools import Evaluation, TrainerBroke

WORKERS = 2  # a job whose updates are many holds up no other
ANNOUNCE_EVERY_S = 60.0
SWEEP_EVERY_S = 300.0
EVALUATE_S_MAX = 300.0
STOP_TIMEOUT_S = 3.0

log = structlog.get_logger(__name__)


class CoordinatorTools:
    """The trainers of this machine, as training's services ask for them; for any number of threads."""

    def __init__(self, host: TrainerHost) -> None:
        self._host = host

    def initial(self, trainer: str, seed: int, config: Mapping[str, Scalar], path: Path) -> None:
        with _broken():
            self._host.initial(trainer, seed, config, path)

    def evaluate(self, trainer: str, seed: int, config: Mapping[str, Scalar], weights: Path) -> Evaluation | None:
        with _broken():
            try:
                found = self._host.evaluate(trainer, config, seed, weights, EVALUATE_S_MAX)
            except NoData:
                return None
        return Evaluation(found.examples, found.metrics)

    def export(self, trainer: str, config: Mapping[str, Scalar], weights: Path, onnx: Path) -> bool:
        with _broken():
            return self._host.export(trainer, config, weights, onnx)

    def epsilon(self, mode: str, rounds: int, noise_multiplier: float, delta: float) -> float:
        if mode == PrivacyMode.LOCAL:
            return accountant.local_epsilon(rounds, noise_multiplier, delta)
        return accountant.epsilon(rounds, 1.0, noise_multiplier, delta)

    def rng(self) -> np.random.Generator:
        return np.random.default_rng()  # seeded by the system's entropy


@contextmanager
def _broken() -> Iterator[None]:
    try:
        yield
    except (NoData, TrainerFailed, UnknownTrainer) as error:
        raise TrainerBroke(error.message) from error


class TrainingRoundAgent(DirectAgent):
    """Its loop only keeps the trainers announced: steps of jobs are its workers'."""

    name: ClassVar[str] = "training-round"
    channels: ClassVar[tuple[Topic, ...]] = ()

    def __init__(self, identity: Identity, app: Swarmex) -> None:
        super().__init__(identity, app)
        settings = app.settings
        self._host = TrainerHost(settings.trainers, settings.training_data, settings.trainer_bytes)
        self._tools = CoordinatorTools(self._host)
        self._stopping = Event()
        self._workers = [
            Thread(target=self._keep_working, name=f"training-{number}", daemon=True) for number in range(WORKERS)
        ]
        duties = (
            Chore("trainers", self._announce, ANNOUNCE_EVERY_S),
            Chore("late-updates", self._sweep, SWEEP_EVERY_S),
        )
        names = [*(duty.name for duty in duties), "training"]
        self._presence = Presence(app, self.name, identity, names)
        self._chores = (*duties, Chore("presence", self._presence.tell, TELL_EVERY_S))

    def opened(self) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each update of a round is a mapped, open file
        for worker in self._workers:
            worker.start()

    def tick(self, now: datetime) -> Pace:
        run_due(self._chores, now, time.monotonic(), random())
        return Pace.REST

    def drained(self) -> None:
        self._stopping.set()
        self._host.close()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        with suppress(Exception):  # of any layer below: then the fact runs out
            self._presence.end(utc_now())

    def work(self, now: datetime) -> bool:
        """One step with one job; returns whether there was one."""
        self._host.describe()  # asked once, and first: whoever announces would wait for an evaluation else
        return training_run.work(self.app.uow, now, self.app.objects, self._tools)

    def _announce(self, now: datetime) -> bool:
        found = self._host.describe()
        announce(self.uow(), now, [TrainerFacts(one.name, one.description, one.metrics) for one in found])
        return False

    def _sweep(self, now: datetime) -> bool:
        training_run.drop_late_updates(self.uow(), now, self.app.objects)
        return False

    def _keep_working(self) -> None:
        topics = (Topic.WORK_COMMITTED, Topic.ORDERS_CLOSED, Topic.TRAINING_CHANGED)
        keep_looking(self.app, Chore("training", self.work), topics, self._stopping)
