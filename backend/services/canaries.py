"""Canaries: some items of real orders, which nobody can tell from others, are run again here, and answers compared.

What a node gets wrong is evidence that no buyer's cap cuts. Nothing is placed or paid for: the items have been settled.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import groupby

import orjson

from backend.domain.access import Principal
from backend.domain.canaries import agrees, as_answered
from backend.domain.errors import Invalid, InvalidTensor
from backend.domain.tensors import Array, parse_request
from backend.domain.work import ModelRef
from backend.services.log import record
from backend.storage import temporary
from backend.storage.objects import ObjectStore
from backend.storage.trust import Canary
from backend.storage.unit_of_work import UnitOfWork

CHECKED_MAX = 100  # items in one check
PER_NODE_MAX = 20
US_MAX = 2_000_000  # of slot time that an item may cost, or it is not run again
WITHIN = timedelta(hours=1)
RUNS = 2  # a model that does not answer the same twice knows no right answer

Tell = Callable[[int, int], None]  # items so far, items in all


@dataclass(frozen=True, slots=True)
class Checked:
    """How many canaries were right and wrong, and of how many nobody can say."""

    passed: int
    failed: int
    skipped: int


def check(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal | None,
    objects: ObjectStore,
    seed: str,
    per_node: int = 1,
    tell: Tell = lambda _, __: None,
    most: int = CHECKED_MAX,
) -> Checked:
    """Run a seeded choice of what each node lately served again, `most` items at most; each item is checked once.

    Raises Invalid.
    """
    if not 1 <= per_node <= PER_NODE_MAX:
        raise Invalid(
            f"{per_node} items of a node", code="invalid_per_node", field="per_node", accepted=f"1 to {PER_NODE_MAX}"
        )
    with uow:
        chosen = uow.trust.canaries(now - WITHIN, seed, per_node, US_MAX, most)
        refs = {model.ref.model_id: model.ref for model in uow.models.all()} if chosen else {}
    if not chosen:
        return Checked(0, 0, 0)
    verdicts: list[tuple[Canary, bool]] = []
    done = 0
    for model, group in groupby(chosen, key=lambda canary: canary.model_id):
        items = list(group)
        for canary, known in zip(items, _known(objects, refs[model], items), strict=True):
            if known is not None:
                verdicts.append((canary, _agrees(known, canary.outputs, refs[model])))
        done += len(items)
        tell(done, len(chosen))
    passed = sum(right for _, right in verdicts)
    checked = Checked(passed, len(verdicts) - passed, len(chosen) - len(verdicts))
    with uow:
        uow.trust.record_canaries(verdicts, now)
        record(uow, now, principal, "trust.check", "canaries", seed=seed, **asdict(checked))
        uow.commit()
    return checked


def _agrees(known: Mapping[str, Array], outputs: bytes, ref: ModelRef) -> bool:
    try:
        return agrees(known, orjson.loads(outputs), ref.signature)
    except orjson.JSONDecodeError:  # a node commits what bytes it likes
        return False


def _known(objects: ObjectStore, ref: ModelRef, items: Sequence[Canary]) -> list[Mapping[str, Array] | None]:
    """What the model answers to each item; None where it cannot be run here or does not answer the same twice."""
    from backend.services.onnx_models import answers, checksum_of  # slow to import, and only needed here

    with temporary.folder() as folder:
        path = folder / "model.onnx"
        try:
            objects.get_file(ref.uri, path)
            feeds = [parse_request(orjson.loads(item.inputs), ref.signature) for item in items]
            if checksum_of(path) != ref.checksum:
                return [None] * len(items)
            runs = answers(path, [feed for feed in feeds for _ in range(RUNS)])
        except (FileNotFoundError, Invalid, InvalidTensor):
            return [None] * len(items)
    known: list[Mapping[str, Array] | None] = []
    for first, second in zip(runs[::RUNS], runs[1::RUNS], strict=True):
        answer, again = as_answered(first, ref.signature), as_answered(second, ref.signature)
        same = answer is not None and again is not None and all((answer[n] == again[n]).all() for n in answer)
        known.append(answer if same else None)
    return known
