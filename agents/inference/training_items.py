"""A participant's part in a training round: weights in, a fit in a child process that can be killed, an update out.

One at a time in each agent. The update is in the store before its item is committed, under a key that carries the
fence of the claim, so that no two attempts ever write to one place.
"""

from collections.abc import Callable
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Protocol

import structlog

from agents.inference.claims import ClaimKeeper
from agents.inference.weight_files import WeightFiles
from agents.work_port import FilePort
from backend.domain.federated.tasks import (
    REASON_CHARS_MAX,
    LocalDecline,
    LocalResult,
    LocalTask,
    read_result,
    read_task,
    update_key,
)
from backend.domain.ids import NodeId
from backend.domain.work import ClaimedItem, ItemResult
from backend.messaging.spans import span

NO_TRAINERS = "this agent has no trainers"

log = structlog.get_logger(__name__)

Outcome = ItemResult | Exception | None
"""What became of an item; None when it is not ours any more."""


class Fitted(Protocol):
    """What a fit gave, and the microseconds that it took."""

    @property
    def result(self) -> LocalResult:
        """What the participant says of its update."""
        ...

    @property
    def busy_us(self) -> int:
        """Time in the trainer."""
        ...


class Host(Protocol):
    """Runs trainers in a process of their own; see `agents.trainers.host`."""

    def fit(self, task: LocalTask, node: NodeId, weights: Path, update: Path, wanted: Callable[[], bool]) -> Fitted:
        """Train on what the node has and write the update; ends early once it is not wanted any more.

        Raises NoData, UnknownTrainer, TrainerFailed, TrainerTimedOut.
        """
        ...

    def close(self) -> None:
        """End the process, whatever it is at."""
        ...


class TrainingItems:
    """Runs training items, in the thread of whoever calls; `host` makes the host when the first one comes."""

    def __init__(self, port: FilePort, host: Callable[[], Host], claims: ClaimKeeper, files: WeightFiles) -> None:
        self._port = port
        self._make_host = host
        self._host: Host | None = None
        self._claims = claims
        self._files = files
        self._stopping = Event()

    def run(self, item: ClaimedItem) -> Outcome:
        """What became of an item. One that cannot be the node's fault is declined: no trainer of that name, no data.

        So is one whose trainer breaks or takes too long: its options and its time are chosen by whoever buys.
        """

        def wanted() -> bool:
            return self._claims.holds(item) and not self._stopping.is_set()

        try:
            outcome: Outcome = self._run(item, wanted)
        except ImportError as missing:
            outcome = declined(item, f"{NO_TRAINERS}: {missing.name or missing} is not installed")
        except Exception as error:  # of any layer below, and of any trainer
            outcome = declined(item, str(error)) if _is_no_fault(error) else error
        if not wanted():
            log.warning("fit.given_up", item_id=str(item.item_id), attempt=item.attempt)
            return None
        return outcome

    def stop(self) -> None:
        """Give up what runs, and whatever comes; any thread may ask for that."""
        self._stopping.set()

    def close(self) -> None:
        """Give up what runs, and end the trainers' process."""
        self.stop()
        if self._host is not None:
            self._host.close()

    def _run(self, item: ClaimedItem, wanted: Callable[[], bool]) -> Outcome:
        started = monotonic()
        task = read_task(item.inputs)
        if not wanted():
            return None
        if self._host is None:
            self._host = self._make_host()
        with span("work.fit", swarmex__trainer=task.trainer), self._files.scratch() as update:
            weights = self._files.path_of(
                task.weights, lambda path: self._port.get_weights(item, task.weights.key, path)
            )
            fitted = self._host.fit(task, item.node_id, weights, update, wanted)
            if not wanted():
                return None
            outputs = fitted.result.wire()
            read_result(outputs)  # what the coordinator would not take is not sent either
            self._port.put_update(item, update_key(task.job_id, task.round, item.item_id, item.fence), update)
        log.info(
            "fit.done",
            item_id=str(item.item_id),
            job_id=str(task.job_id),
            round=task.round,
            trainer=task.trainer,
            examples=fitted.result.examples,
            bytes=fitted.result.size_bytes,
            busy_us=fitted.busy_us,
            seconds=round(monotonic() - started, 4),
        )
        return ItemResult(item.item_id, item.fence, fitted.busy_us, outputs)


def declined(item: ClaimedItem, reason: str) -> ItemResult:
    """The answer of whoever has no part to give in a round."""
    log.info("fit.declined", item_id=str(item.item_id), reason=reason)
    return ItemResult(item.item_id, item.fence, 0, LocalDecline(reason[:REASON_CHARS_MAX]).wire())


def _is_no_fault(error: Exception) -> bool:
    from agents.trainers.base import NoData, TrainerFailed, UnknownTrainer  # not needed where nobody asks to train

    return isinstance(error, NoData | UnknownTrainer | TrainerFailed)
