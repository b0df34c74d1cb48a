"""Runs trainers for an agent in a child process that is warm, bounded in time and memory, and killed when need be."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import structlog

from agents.trainers.base import Description, NoData, NotWanted, TrainerFailed, TrainerTimedOut, UnknownTrainer
from agents.trainers.catalogue import check_data, read_allowed
from agents.trainers.process import ProcessEnded, TrainerProcess
from backend.domain.errors import SwarmexError
from backend.domain.federated.tasks import LocalResult, LocalTask, Scalar, read_result
from backend.domain.ids import NodeId

MEMORY_BYTES_DEFAULT = 4 << 30
START_S_MAX = 60.0  # for Python and numpy
IMPORT_S_MAX = 120.0  # for a trainer's own libraries, which are not the participant's time
INITIAL_S_MAX = 120.0
EXPORT_S_MAX = 120.0
DESCRIBE_S_MAX = 120.0
LOOK_EVERY_S = 0.1  # whether an answer is still wanted
CALLS_MAX = 1_000  # of one child: what a trainer leaks ends with it
BUSY_US_MIN = 1  # what was trained is never free

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A participant's update, written and summed, and the microseconds that it was trained for."""

    result: LocalResult
    busy_us: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What weights are worth on data that nobody trained on; `loss` is among the metrics."""

    examples: int
    metrics: Mapping[str, float]


class TrainerHost:
    """One child at a time, made when it is first needed and again after it was killed; for any number of threads.

    `trainers` is the operator's list of further trainers, `data` where the machine's own data is, `memory_bytes` what
    the child may take. Raises Invalid for a list or a place of data that cannot be read.
    """

    def __init__(
        self,
        trainers: str = "",
        data: str | None = None,
        memory_bytes: int = MEMORY_BYTES_DEFAULT,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        read_allowed(trainers)
        check_data(data)
        self._hello = {"trainers": trainers, "data": data, "memory_bytes": memory_bytes}
        self._environment = dict(os.environ if environment is None else environment)
        self._turns = Lock()
        self._process: TrainerProcess | None = None
        self._described: list[Description] | None = None
        self._calls = 0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The child's process id, None where there is none now."""
        process = self._process
        return None if process is None else process.pid

    def fit(
        self, task: LocalTask, node: NodeId, weights: Path, update: Path, wanted: Callable[[], bool] = lambda: True
    ) -> Fitted:
        """Train as `task` says from the file `weights`; the update is then in the file `update`.

        Killed after `task.seconds_max`, and as soon as `wanted` says no. Raises UnknownTrainer and NoData (to decline),
        TrainerFailed, TrainerTimedOut, and NotWanted; then there is no file.
        """
        request = {"call": "fit", "task": task.wire().decode(), "node": str(node)}
        files = {"weights": str(weights), "update": str(update)}
        try:
            said = self._ask(request | files, task.seconds_max, wanted)
            result = read_result(said["result"].encode())
            assert isinstance(result, LocalResult)
            return Fitted(result, max(BUSY_US_MIN, int(said["busy_us"])))
        except BaseException:
            update.unlink(missing_ok=True)
            raise

    def initial(
        self, trainer: str, seed: int, config: Mapping[str, Scalar], out: Path, seconds_max: float = INITIAL_S_MAX
    ) -> None:
        """Write the weights that training begins with, the same for a seed; raises as `fit` does."""
        self._ask({"call": "initial", **_asked(trainer, seed, config), "out": str(out)}, seconds_max)

    def evaluate(
        self, trainer: str, config: Mapping[str, Scalar], seed: int, weights: Path, seconds_max: float
    ) -> Evaluation:
        """What the coordinator's own test data say of the file `weights`; raises NoData without any, else as `fit`."""
        request = {"call": "evaluate", **_asked(trainer, seed, config), "weights": str(weights)}
        said = self._ask(request, seconds_max)
        return Evaluation(int(said["examples"]), {str(name): float(one) for name, one in said["metrics"].items()})

    def export(
        self, trainer: str, config: Mapping[str, Scalar], weights: Path, onnx: Path, seconds_max: float = EXPORT_S_MAX
    ) -> bool:
        """Write the file `weights` as an ONNX model; whether the trainer can. Raises as `fit` does."""
        request = {"call": "export", **_asked(trainer, 0, config), "weights": str(weights), "onnx": str(onnx)}
        return bool(self._ask(request, seconds_max)["exported"])

    def describe(self) -> list[Description]:
        """The trainers that this machine has and can load, by name; the child is asked once."""
        if self._described is None:
            said = self._ask({"call": "describe"}, DESCRIBE_S_MAX)
            for name, why in said["broken"].items():
                log.warning("trainer.unusable", trainer=name, why=why)
            self._described = [
                Description(one["name"], one["description"], tuple(one["metrics"])) for one in said["trainers"]
            ]
        return list(self._described)

    def close(self) -> None:
        """End the child; whatever it was at raises NotWanted, and so does all that is asked later."""
        self._closed = True
        process = self._process
        if process is None:
            return
        if self._turns.acquire(blocking=False):
            try:
                process.end()
            finally:
                self._turns.release()
        else:
            process.kill()

    def _ask(
        self, request: Mapping[str, object], seconds_max: float, wanted: Callable[[], bool] = lambda: True
    ) -> dict[str, Any]:
        """The child's answer; its time begins when the trainer's libraries are loaded."""

        def check() -> None:
            if self._closed or not wanted():
                raise NotWanted("nobody waits for it any more")

        with self._turn(check):
            try:
                return _receive(self._begun(request, check), "done", seconds_max, check)
            except _Refused as refused:
                if refused.last:
                    self._discard()
                raise refused.error from None
            except ProcessEnded as ended:
                self._discard()
                check()
                raise TrainerFailed(_ending(ended)) from None
            except BaseException:  # it may still be at work
                self._discard()
                raise

    def _begun(self, request: Mapping[str, object], check: Callable[[], None]) -> TrainerProcess:
        """The child at work on a request; one that died since its last answer is replaced, as nothing of it has run."""
        while True:
            process = self._ready(check)
            try:
                process.send(request)
                _receive(process, "begun", IMPORT_S_MAX, check)
            except ProcessEnded:
                if self._calls == 1:  # a new child: what it is asked ends it
                    raise
                self._discard()
            else:
                return process

    @contextmanager
    def _turn(self, check: Callable[[], None]) -> Iterator[None]:
        check()
        while not self._turns.acquire(timeout=LOOK_EVERY_S):
            check()
        try:
            yield
        finally:
            self._turns.release()

    def _ready(self, check: Callable[[], None]) -> TrainerProcess:
        """The child, another one if the last has ended or was asked often enough."""
        if self._process is not None and (self._calls >= CALLS_MAX or not self._process.alive):
            self._process.end()
            self._process = None
        if self._process is None:
            self._process, self._calls = TrainerProcess(self._environment), 0
            self._process.send(self._hello)
            _receive(self._process, "ready", START_S_MAX, check)
        self._calls += 1
        return self._process

    def _discard(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()


class _Refused(Exception):
    """What a child says instead of an answer; the `last` that it says if it is not well."""

    def __init__(self, error: SwarmexError, last: bool) -> None:
        super().__init__(error)
        self.error = error
        self.last = last


def _receive(process: TrainerProcess, what: str, seconds_max: float, check: Callable[[], None]) -> dict[str, Any]:
    """The content of the message `what`; raises what `check` does, _Refused, TrainerTimedOut and ProcessEnded."""
    deadline = time.monotonic() + seconds_max
    while True:
        check()
        message = process.receive(min(LOOK_EVERY_S, deadline - time.monotonic()))
        if message is not None:
            if what in message:
                return dict(message[what])
            raise _Refused(_refusal(message), bool(message.get("last")))
        if time.monotonic() >= deadline:
            raise TrainerTimedOut(seconds_max)


def _refusal(message: Mapping[str, Any]) -> SwarmexError:
    code, why = str(message.get("error")), str(message.get("message"))
    if code == UnknownTrainer.code:
        return UnknownTrainer(str(message.get("trainer")), why)
    return NoData(why) if code == NoData.code else TrainerFailed(why)


def _ending(ended: ProcessEnded) -> str:
    if ended.status is None:
        return "the trainer's process could not be understood"
    if ended.status >= 0:
        return f"the trainer's process ended with status {ended.status}"
    with suppress(ValueError):
        return f"the trainer's process was killed by {signal.Signals(-ended.status).name}"
    return f"the trainer's process was killed by signal {-ended.status}"


def _asked(trainer: str, seed: int, config: Mapping[str, Scalar]) -> dict[str, object]:
    return {"trainer": trainer, "seed": seed, "config": dict(config)}
