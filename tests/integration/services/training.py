"""Training jobs for tests: a toy trainer, nodes that behave well or badly, and the steps in the test's own hands."""

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.federated.jobs import Target, TrainingSpec
from backend.domain.federated.states import FINAL, ParticipantState
from backend.domain.federated.tasks import LocalDecline, LocalResult, LocalTask, Scalar, read_task, update_key
from backend.domain.ids import NodeId, TrainingJobId
from backend.domain.work import ClaimedItem, ItemFailure, ItemResult
from backend.services import sweeper, trainers, training_jobs, training_run
from backend.services.trainers import TrainerFacts
from backend.services.training_jobs import JobView, RoundView
from backend.services.training_tools import Evaluation, TrainerBroke
from backend.services.weights_files import open_weights, write_arrays
from backend.storage.nodes import Node
from backend.storage.objects import ObjectStore
from backend.storage.training_participants import Standing
from tests.market import Executor, Market
from tests.onnx_files import write_doubling

TRAINER = TrainerFacts("toy", "Learns four numbers.", ("loss", "accuracy"))
AIM = np.array([1.0, 2.0, 3.0, 4.0], np.float32)  # what every node's data say
TURNS_MAX = 300
BUSY_US = 2_000

Fit = Callable[["Training", ClaimedItem, LocalTask], "ItemResult | ItemFailure | None"]


@dataclass
class ToyTools:
    """The toy trainer at the coordinator; `breaks` says which of its calls fail."""

    breaks: set[str] = field(default_factory=set)
    exports: bool = True
    evaluates: bool = True
    calls: list[str] = field(default_factory=list)
    seed: int = 7

    def initial(self, trainer: str, seed: int, config: Mapping[str, Scalar], path: Path) -> None:
        self._called("initial")
        write_arrays(path, {"0000": np.full(4, float(seed), np.float32)})

    def evaluate(self, trainer: str, seed: int, config: Mapping[str, Scalar], weights: Path) -> Evaluation | None:
        self._called("evaluate")
        loss = float(np.abs(open_weights(weights).flat() - AIM).sum())
        return Evaluation(10, {"loss": loss, "accuracy": 1 / (1 + loss)}) if self.evaluates else None

    def export(self, trainer: str, config: Mapping[str, Scalar], weights: Path, onnx: Path) -> bool:
        self._called("export")
        if self.exports:
            write_doubling(onnx, float(open_weights(weights).flat()[0]))
        return self.exports

    def epsilon(self, mode: str, rounds: int, noise_multiplier: float, delta: float) -> float:
        return rounds / noise_multiplier

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def _called(self, what: str) -> None:
        self.calls.append(what)
        if what in self.breaks:
            raise TrainerBroke(f"{what} broke")


@dataclass
class Training:
    """A market with nodes that take part in rounds; `acts` says how a node behaves, unless it is honest."""

    market: Market
    nodes: list[Node]
    executor: Executor
    tools: ToyTools = field(default_factory=ToyTools)
    acts: dict[NodeId, Fit] = field(default_factory=dict)
    fitted: list[tuple[NodeId, LocalTask]] = field(default_factory=list)

    @classmethod
    def of(cls, market: Market, count: int) -> "Training":
        """So many living nodes of one slot, and a trainer that is known."""
        trainers.announce(market.app.uow(), utc_now(), [TRAINER])
        return cls(market, [market.node(f"n{number}") for number in range(count)], market.executor())

    @property
    def objects(self) -> ObjectStore:
        return self.market.app.objects

    def spec(self, **changes: object) -> TrainingSpec:
        """Two rounds of three, of which two must report; or as changed."""
        spec = TrainingSpec(
            trainer="toy", rounds=2, participants=3, participants_min=2, fit_s=5, round_s=60, target=Target("loss")
        )
        return replace(spec, **changes)  # type: ignore[arg-type]  # a test's own words

    def submit(self, **changes: object) -> str:
        """The name of a job of the buyer's."""
        uow = self.market.app.uow()
        view = training_jobs.create_job(uow, utc_now(), self.market.buyer, self.spec(**changes))
        return training_jobs.job_name(view.job.id)

    def show(self, name: str) -> JobView:
        """The job as it is now."""
        return training_jobs.show_job(self.market.app.uow(), name, self.market.buyer)

    def rounds(self, name: str) -> list[RoundView]:
        """Its rounds so far."""
        return training_jobs.rounds_of(self.market.app.uow(), name, self.market.buyer)

    def participants(self, name: str, number: int = 1) -> dict[str, Standing]:
        """Who took part in a round, by the name of the node; of several attempts the last."""
        found = training_jobs.participants_of(self.market.app.uow(), name, number, self.market.buyer)
        return {standing.node_name: standing for standing in found}

    def states(self, name: str, number: int = 1) -> dict[str, ParticipantState]:
        """How participants of a round stand."""
        return {node: standing.participant.state for node, standing in self.participants(name, number).items()}

    def cancel(self, name: str) -> JobView:
        """Cancel it as its owner."""
        return training_jobs.cancel_job(self.market.app.uow(), utc_now(), name, self.market.buyer)

    def weights(self, name: str, number: int | None = None) -> list[float]:
        """The numbers after a round, or the last."""
        _, chunks = training_jobs.weights_of(self.market.app.uow(), self.objects, name, self.market.buyer, number)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weights"
            path.write_bytes(b"".join(chunks))
            return [float(one) for one in open_weights(path).flat()]

    def step(self, now: datetime | None = None, steps: int = 1) -> None:
        """Steps of jobs, as if each came when it is due."""
        for _ in range(steps):
            self.due()
            training_run.work(self.market.app.uow, now or utc_now(), self.objects, self.tools)

    def due(self) -> None:
        """Nobody has any job in hand."""
        with self.market.app.engine.begin() as connection:
            connection.execute(text("UPDATE training_jobs SET claimed_until = created_at"))

    def lease(self) -> list[ClaimedItem]:
        """Clear the markets; what the nodes have in hand then."""
        self.executor.beat()
        self.market.clear()
        return self.executor.claim(self.market.dispatched())

    def fit(self) -> None:
        """Let every node that has a part in hand do it, each in its own way."""
        self.finish(self.lease())

    def finish(self, items: list[ClaimedItem]) -> set[object]:
        """Let these parts be done; returns the items whose results counted."""
        said = [self.acts.get(item.node_id, honest)(self, item, read_task(item.inputs)) for item in items]
        self.fitted += [(item.node_id, read_task(item.inputs)) for item in items]
        failures = [one for one in said if isinstance(one, ItemFailure)]
        results = [one for one in said if isinstance(one, ItemResult)]
        if failures:
            self.executor.database.fail(self.executor.id, failures)
        return set(self.executor.database.commit(self.executor.id, results)) if results else set()

    def run(self, name: str, now: datetime | None = None) -> JobView:
        """Steps, clearings and fits until the job has ended."""
        return self.run_until(name, lambda view: view.job.state in FINAL, now)

    def run_until(self, name: str, reached: Callable[[JobView], bool], now: datetime | None = None) -> JobView:
        """The same until the job is as wanted."""
        for _ in range(TURNS_MAX):
            if reached(view := self.show(name)):
                return view
            self.step(now)
            self.fit()
            sweeper.sweep(self.market.app.uow(), utc_now())
            self.market.settle()
        raise AssertionError(f"{self.show(name)} after {TURNS_MAX} turns")


def taking(busy_us: int) -> Fit:
    """What an honest node does whose engine takes so long, and that has had the part in hand for as long."""

    def fit(training: Training, item: ClaimedItem, task: LocalTask) -> ItemResult:
        with training.market.app.engine.begin() as connection:
            connection.execute(
                text("UPDATE work_items SET claimed_at = claimed_at - :took WHERE id = :id"),
                {"took": timedelta(microseconds=busy_us), "id": item.item_id},
            )
        return replace(honest(training, item, task), busy_us=busy_us)

    return fit


def values_of(training: Training, task: LocalTask) -> np.ndarray:
    """Half the way from the round's weights to what the data say."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights"
        training.objects.get_file(task.weights.key, path)
        base = open_weights(path).flat().copy()
    return base + (AIM - base) / 2


def send(
    training: Training,
    item: ClaimedItem,
    task: LocalTask,
    arrays: Mapping[str, np.ndarray],
    change: Callable[[bytes], bytes] = lambda content: content,
    key: str | None = None,
    **said: object,
) -> ItemResult:
    """Store an update and say so; `change` is what happens to the file on its way, `said` what is told otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "update"
        write_arrays(path, dict(arrays))
        content = path.read_bytes()
    stored = change(content)
    where = key or update_key(TrainingJobId(task.job_id), task.round, item.item_id, item.fence)
    training.objects.put(stored, where)
    facts: dict[str, object] = {
        "examples": 10 * (task.partition + 1),
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
        "metrics": {"loss": 1.0},
    }
    result = LocalResult(**(facts | said))  # type: ignore[arg-type]  # a test's own words
    return ItemResult(item.item_id, item.fence, BUSY_US, result.wire())


def honest(training: Training, item: ClaimedItem, task: LocalTask) -> ItemResult:
    """Does what it is asked."""
    return send(training, item, task, {"0000": values_of(training, task)})


def silent(training: Training, item: ClaimedItem, task: LocalTask) -> None:
    """Never says anything."""


def failing(training: Training, item: ClaimedItem, task: LocalTask) -> ItemFailure:
    """Breaks every time."""
    return ItemFailure(item.item_id, item.fence, "the trainer broke")


def without_data(training: Training, item: ClaimedItem, task: LocalTask) -> ItemResult:
    """Has no part to give."""
    return ItemResult(item.item_id, item.fence, 0, LocalDecline("no data here").wire())


def sending(
    numbers: Callable[[np.ndarray], np.ndarray] = lambda values: values,
    name: str = "0000",
    change: Callable[[bytes], bytes] = lambda content: content,
    **said: object,
) -> Fit:
    """Sends what it was asked for in another form."""

    def fit(training: Training, item: ClaimedItem, task: LocalTask) -> ItemResult:
        arrays = {name: np.asarray(numbers(values_of(training, task)), np.float32)}
        return send(training, item, task, arrays, change, None, **said)

    return fit
