"""Training items for tests: placed as a round would place them, for an executor in the test's own hands."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.numpy import load
from sqlalchemy import text

from agents.trainers.host import TrainerHost
from agents.trainers.weights import write_weights
from backend.bootstrap import new_id, utc_now
from backend.domain.federated.tasks import (
    LocalDecline,
    LocalResult,
    LocalTask,
    WeightsRef,
    checkpoint_key,
    read_result,
    update_key,
)
from backend.domain.ids import ItemId, NodeId, TrainingJobId
from backend.domain.machines import Needs
from backend.domain.orders import WorkloadRequest
from backend.services import orders, trainers
from backend.storage.order_rows import Order
from tests.integration.agents import clients
from tests.market import Market

FIT_S = 60
US_PER_S = 1_000_000
NAMES = ("adding", "breaking", "empty", "wide", "nobody-has-it")


def host() -> TrainerHost:
    """What an agent of an operator who allows the tests' trainers has."""
    return TrainerHost(clients.ALLOWED)


@dataclass(frozen=True)
class ItemSeen:
    """An item as it is recorded."""

    id: ItemId
    state: str
    fence: int
    attempt: int
    outputs: bytes | None
    error: str | None
    billed_us: int | None

    @property
    def answer(self) -> LocalResult | LocalDecline:
        """What the participant said."""
        assert self.outputs is not None
        return read_result(self.outputs)


@dataclass
class Training:
    """A job whose first round is placed by the test, and the files that it begins with."""

    market: Market
    folder: Path
    job_id: TrainingJobId = field(default_factory=lambda: TrainingJobId(new_id()))
    _weights: dict[str, WeightsRef] = field(default_factory=dict)

    def __post_init__(self) -> None:
        facts = [trainers.TrainerFacts(name, "a test's own", ("loss",)) for name in NAMES]
        trainers.announce(self.market.app.uow(), utc_now(), facts)

    def weights(self, trainer: str) -> WeightsRef:
        """The initial weights of a trainer, in the store."""
        if trainer not in self._weights:
            path = self.folder / f"{trainer}.safetensors"
            client = clients.Wide() if trainer == "wide" else clients.Adding()
            write_weights(path, client.get_parameters({}))
            self._weights[trainer] = self.keep(path.read_bytes())
        return self._weights[trainer]

    def keep(self, content: bytes) -> WeightsRef:
        """Weights of any content, in the store as a checkpoint."""
        sha256 = hashlib.sha256(content).hexdigest()
        key = checkpoint_key(self.job_id, 0, sha256)
        self.market.app.objects.put(content, key)
        return WeightsRef(key, sha256, len(content))

    def task(self, trainer: str = "adding", **changes: Any) -> LocalTask:
        """What a participant is asked."""
        known = trainer if trainer in ("adding", "wide") else "adding"
        said: dict[str, Any] = {
            "job_id": self.job_id,
            "round": 1,
            "trainer": trainer,
            "weights": changes.pop("weights", None) or self.weights(known),
            "local_epochs": 1,
            "batch_size": 32,
            "seconds_max": FIT_S,
            "seed": 1,
            "partition": 0,
            "partitions": 1,
        }
        return LocalTask(**said | changes)

    def place(self, task: LocalTask, node: NodeId | None = None, fit_s: int | None = None) -> Order:
        """The order of one participant, pinned to a node if one is named."""
        fit_us = (fit_s or task.seconds_max) * US_PER_S
        request = WorkloadRequest(
            workload="training",
            model=f"trainer.{task.trainer}",
            tier="medium",
            requests=(),
            local_task=task.wire(),
            fit_us_max=fit_us,
            fit_us_expected=fit_us // 2,
            needs=Needs(only=() if node is None else (node,)),
        )
        [placed] = orders.place_orders(self.market.app.uow(), utc_now(), self.market.buyer, [request]).results
        assert isinstance(placed, Order), placed
        return placed

    def items(self) -> list[ItemSeen]:
        """All training items, by id."""
        with self.market.app.engine.connect() as connection:
            rows = connection.execute(
                text(
                    "SELECT id, state, fence, attempt, outputs, error, billed_us FROM work_items"
                    " WHERE judged ORDER BY id"
                )
            )
            return [ItemSeen(*row) for row in rows]

    def update_key(self, item: ItemSeen) -> str:
        """Where the update of an item's last attempt is."""
        return update_key(self.job_id, 1, item.id, item.fence)

    def update(self, item: ItemSeen) -> list[list[float]]:
        """The update of an item's last attempt, array by array."""
        content = b"".join(self.market.app.objects.chunks(self.update_key(item)))
        return [array.ravel().tolist() for _, array in sorted(load(content).items())]

    def stored(self) -> list[str]:
        """The keys of all updates in the store."""
        stored = self.market.app.objects.keys()
        return [key for key, _ in stored if "/updates/" in key]
