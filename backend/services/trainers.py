"""Trainers: what training jobs can name. Each is a row of the model registry that nobody can ask for answers."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from backend.domain.errors import NotFound
from backend.domain.ids import ModelId
from backend.domain.registry import TRAINER_PREFIX, Format
from backend.domain.tensors import Signature
from backend.domain.work import ModelRef, Profile
from backend.storage.ids import new_id
from backend.storage.models import Model
from backend.storage.unit_of_work import UnitOfWork

_LOCK = "trainers"
_METRICS = "metrics"  # the tag that names them
_UNMEASURED = Profile(1, 1)  # a fit takes what its task allows


@dataclass(frozen=True, slots=True)
class TrainerFacts:
    """What is said of a trainer: its name, what it learns, and the metrics that its `evaluate` gives."""

    name: str
    description: str
    metrics: tuple[str, ...]


def announce(uow: UnitOfWork, now: datetime, trainers: Sequence[TrainerFacts]) -> int:
    """Register trainers that are not, and what is said of those that are; returns how many were new or changed.

    Announcing the same twice changes nothing; a trainer that is not announced any more stays, for the jobs that had it.
    """
    with uow:
        uow.models.lock_name(_LOCK)
        known = {model.ref.name: model for model in uow.models.trainers()}
        fresh = 0
        for facts in trainers:
            model = _model(facts, now)
            found = known.get(model.ref.name)
            if found is None:
                uow.models.add(model)
            elif found.ref.checksum != model.ref.checksum:
                said = {"description": model.description, "tags": model.tags, "checksum": model.ref.checksum}
                uow.models.write(found.ref.model_id, **said)
            fresh += found is None or found.ref.checksum != model.ref.checksum
        uow.commit()
    return fresh


def list_trainers(uow: UnitOfWork) -> list[TrainerFacts]:
    """All trainers that were announced, by name."""
    with uow:
        return [_facts(model) for model in uow.models.trainers()]


def trainer_model(uow: UnitOfWork, name: str) -> Model:
    """The registry's row of a trainer, in the caller's open unit of work; raises NotFound saying which there are."""
    known = {_name(model): model for model in uow.models.trainers()}
    if name not in known:
        accepted = ", ".join(known) or "none: no training-round agent has announced one yet"
        raise NotFound("trainer", name[:60], field="trainer", accepted=accepted)
    return known[name]


def _model(facts: TrainerFacts, now: datetime) -> Model:
    document = json.dumps([facts.name, facts.description, facts.metrics])
    checksum = hashlib.sha256(document.encode()).hexdigest()
    ref = ModelRef(
        ModelId(new_id()), TRAINER_PREFIX + facts.name, 1, checksum, f"trainers/{facts.name}", Signature((), ())
    )
    tags = {_METRICS: json.dumps(facts.metrics)}
    return Model(ref, 0, _UNMEASURED, now, Format.TRAINER, description=facts.description, tags=tags)


def _name(model: Model) -> str:
    return model.ref.name.removeprefix(TRAINER_PREFIX)


def _facts(model: Model) -> TrainerFacts:
    return TrainerFacts(_name(model), model.description, tuple(json.loads(model.tags[_METRICS])))
