"""What the child process can do for its parent: train, begin, evaluate, export, and say which trainers there are."""

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from agents.trainers.base import (
    DESCRIPTION_CHARS_MAX,
    Arrays,
    NoData,
    Trainer,
    TrainerContext,
    TrainerFailed,
    UnknownTrainer,
    as_float32,
)
from agents.trainers.catalogue import Catalogue
from agents.trainers.privacy import protect
from agents.trainers.weights import read_weights, sha256_of, write_weights
from backend.domain.federated.tasks import (
    EXAMPLES_MAX,
    METRIC_NAME_CHARS_MAX,
    METRICS_MAX,
    UPDATE_BYTES_MAX,
    LocalResult,
    LocalTask,
    read_task,
)
from backend.domain.ids import NodeId

Answer = dict[str, object]


class Calls:
    """Of one process: `data` says where its machine's own data is."""

    def __init__(self, catalogue: Catalogue, data: str | None) -> None:
        self._catalogue = catalogue
        self._data = data

    def prepare(self, request: Mapping[str, Any]) -> Callable[[], Answer]:
        """What is asked, ready to be run, its trainer loaded; raises UnknownTrainer."""
        if request["call"] == "describe":
            return self._describe
        if request["call"] == "fit":
            task = read_task(request["task"].encode())
            return partial(self._fit, self._catalogue.get(task.trainer), task, request)
        trainer = self._catalogue.get(request["trainer"])
        context = TrainerContext(None, 0, 1, request["seed"], self._data, request["config"])
        work = {"initial": _initial, "evaluate": _evaluate, "export": _export}[request["call"]]
        return partial(work, trainer, context, request)

    def _describe(self) -> Answer:
        trainers, broken = [], {}
        for name in self._catalogue.names:
            try:
                one = self._catalogue.get(name)
            except UnknownTrainer as error:
                broken[name] = error.message
                continue
            description = one.description[:DESCRIPTION_CHARS_MAX]
            trainers.append({"name": name, "description": description, "metrics": list(one.metrics)})
        return {"trainers": trainers, "broken": broken}

    def _fit(self, trainer: Trainer, task: LocalTask, request: Mapping[str, Any]) -> Answer:
        node = NodeId(UUID(request["node"]))
        context = TrainerContext(node, task.partition, task.partitions, task.seed, self._data, dict(task.config))
        weights, path = Path(request["weights"]), Path(request["update"])
        client = trainer.make(context)
        began = time.perf_counter()
        base = read_weights(weights)
        shapes = [one.shape for one in base]
        fitted, examples, metrics = client.fit(
            base,
            dict(task.config)
            | {
                "round": task.round,
                "local_epochs": task.local_epochs,
                "batch_size": task.batch_size,
                "seed": task.seed,
                "proximal_mu": task.proximal_mu,
            },
        )
        update = _checked(fitted, shapes)
        if task.privacy is not None:
            # From the file again, which no trainer has written to. And noise that could be worked out from the task's
            # seed would protect from nobody who has the task; metrics, to which none is added, stay here.
            update = protect(update, read_weights(weights), task.privacy, np.random.default_rng())
            metrics = {}
        write_weights(path, update)
        size_bytes = path.stat().st_size
        if size_bytes > UPDATE_BYTES_MAX:
            raise TrainerFailed(f"its update has {size_bytes} bytes; at most {UPDATE_BYTES_MAX} are taken")
        result = LocalResult(_count(examples), sha256_of(path), size_bytes, _numbers(metrics))
        busy_us = round((time.perf_counter() - began) * 1e6)
        return {"result": result.wire().decode(), "busy_us": busy_us}


def _initial(trainer: Trainer, context: TrainerContext, request: Mapping[str, Any]) -> Answer:
    if trainer.initial is not None:
        arrays = trainer.initial(context)
    else:
        arrays = trainer.make(context).get_parameters(dict(context.config))
    write_weights(Path(request["out"]), _finite(as_float32(arrays), "its initial weights"))
    return {}


def _evaluate(trainer: Trainer, context: TrainerContext, request: Mapping[str, Any]) -> Answer:
    weights = read_weights(Path(request["weights"]))
    try:
        loss, examples, metrics = trainer.make(context).evaluate(list(weights), dict(context.config))
    except NotImplementedError:
        raise NoData("the trainer does not evaluate") from None
    return {"examples": _count(examples), "metrics": _numbers({**metrics, "loss": loss})}


def _export(trainer: Trainer, context: TrainerContext, request: Mapping[str, Any]) -> Answer:
    if trainer.export is None:
        return {"exported": False}
    weights = read_weights(Path(request["weights"]))
    Path(request["onnx"]).write_bytes(trainer.export(list(weights), dict(context.config)))
    return {"exported": True}


def _checked(fitted: Arrays, shapes: list[tuple[int, ...]]) -> list[Any]:
    update = as_float32(fitted)
    if [one.shape for one in update] != shapes:
        raise TrainerFailed("its update has other shapes than the weights that it was given")
    return _finite(update, "its update")


def _finite(arrays: list[Any], what: str) -> list[Any]:
    if not all(np.isfinite(one).all() for one in arrays):
        raise TrainerFailed(f"{what} has values that are not finite: a smaller learning rate may help")
    return arrays


def _count(examples: object) -> int:
    count = int(examples) if isinstance(examples, int | np.integer) else 0
    if not 1 <= count <= EXAMPLES_MAX:
        raise NoData("there are no examples here")
    return count


def _numbers(metrics: Mapping[Any, Any]) -> dict[str, float]:
    """Those of a trainer's metrics that are finite numbers with short names."""
    numbers: dict[str, float] = {}
    for name, value in metrics.items():
        named = isinstance(name, str) and 1 <= len(name) <= METRIC_NAME_CHARS_MAX and name.isprintable()
        if named and isinstance(value, int | float | np.number) and math.isfinite(value) and len(numbers) < METRICS_MAX:
            numbers[name] = float(value)
    return numbers
