"""Private items in an agent's hands: whatever goes wrong with one, its words say nothing of what was in it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.engines.base import Loaded, NothingRun
from agents.engines.onnx import OnnxEngine
from agents.inference.item_batch import ItemBatch
from agents.inference.models import LoadedModels
from agents.inference.private_items import PrivateFailure, PrivateItems, PrivateNotRun
from agents.model_cache import ModelCache
from backend.bootstrap import new_id
from backend.domain.ids import ItemId, NodeId, SealingKeyId
from backend.domain.private_envelope import item_inputs, sealed_in
from backend.domain.private_sealing import KeyPair, ReplyKeys, SealedModel, open_answer, seal_order
from backend.domain.tensors import Array
from backend.domain.work import ClaimedItem, ItemResult
from backend.storage.key_folder import KeyFolder
from backend.storage.objects import ObjectStore
from tests.integration.agents.disks import disk_away
from tests.onnx_files import reference_to, write_doubling
from tests.private import MARKER, SECRET_BODY, body


class Talkative:
    """ONNX models that tell of their inputs when they break, and count the rows of their runs."""

    def __init__(self) -> None:
        self.breaks: Callable[[Array], bool] = lambda _: False
        self.away = False
        self.rows: list[int] = []

    def load(self, path: Path) -> Loaded:
        return _Talkative(self, OnnxEngine().load(path))


class _Talkative:
    def __init__(self, engine: Talkative, model: Loaded) -> None:
        self._engine, self._model = engine, model

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self._engine.rows.append(len(inputs["x"]))
        if self._engine.away:
            raise NothingRun(f"no place for {inputs['x'].tolist()}")
        if self._engine.breaks(inputs["x"]):
            raise RuntimeError(f"cannot do {inputs['x'].tolist()}")
        return self._model.run(inputs)


class Bench:
    """An agent with a node's key and a model, and items sealed to that."""

    def __init__(self, folder: Path) -> None:
        store = ObjectStore((folder / "objects").as_uri())
        path = write_doubling(folder / "m.onnx")
        store.put_file(path, "models/m.onnx")
        self.ref = reference_to(path)
        self.engine = Talkative()
        self.models = LoadedModels(ModelCache(folder / "cache", store), self.engine)
        self.node_id = NodeId(new_id())
        keys = KeyFolder(folder / "keys")
        self.public = KeyPair.of(keys.make(self.node_id)).public
        self.private = PrivateItems(keys)

    def item(self, request: Any = SECRET_BODY, rows: int = 1) -> tuple[ClaimedItem, ReplyKeys]:
        """A claimed item, and what opens its answer."""
        key_id = SealingKeyId(new_id())
        model = SealedModel(self.ref.name, self.ref.version, self.ref.checksum)
        envelope, keys = seal_order([(json.dumps(request).encode(), rows)], model, {key_id: self.public})
        inputs = item_inputs(envelope, {key_id: self.node_id}, 0)
        return ClaimedItem(ItemId(new_id()), 1, 1, self.node_id, rows, inputs, self.ref), keys

    def run(self, item: ClaimedItem) -> object:
        """What became of it."""
        return self.private.run(lambda: ItemBatch(self.ref, self.models.get(self.ref)), item)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def told(outcome: object) -> str:
    """The words of a failure, in which nothing of the request may be."""
    assert isinstance(outcome, PrivateFailure)
    assert "31337" not in f"{outcome!r} {outcome} {outcome.field} {outcome.accepted}"
    assert outcome.__cause__ is None
    return outcome.message


def test_an_item_is_opened_run_and_its_answer_sealed(bench: Bench) -> None:
    item, keys = bench.item()
    outcome = bench.run(item)
    assert isinstance(outcome, ItemResult)
    assert b"outputs" not in outcome.outputs
    answer = json.loads(open_answer(keys, 0, sealed_in(outcome.outputs) or b""))
    assert answer["outputs"][0]["data"] == [2 * MARKER, 4.0]
    assert outcome.busy_us >= 1


def test_a_model_that_breaks_does_not_tell_of_what(bench: Bench) -> None:
    item, _ = bench.item()
    bench.run(item)  # it is loaded
    bench.engine.breaks = lambda inputs: bool((inputs == MARKER).any())
    assert told(bench.run(item)) == "private item: the model failed"


def test_a_model_that_cannot_be_loaded_does_not_either(bench: Bench) -> None:
    item, _ = bench.item()
    bench.engine.breaks = lambda _: True
    assert told(bench.run(item)) == "private item: the model failed"


def test_where_nothing_could_be_run_that_is_all_that_is_told(bench: Bench, tmp_path: Path) -> None:
    item, _ = bench.item()
    with disk_away(tmp_path / "cache"):
        outcome = bench.run(item)
    assert isinstance(outcome, PrivateNotRun)
    assert (str(outcome), outcome.field, outcome.accepted) == ("private item: nothing was run", None, None)


def test_a_server_that_takes_nothing_is_not_quoted(bench: Bench) -> None:
    item, _ = bench.item()
    bench.run(item)
    bench.engine.away = True
    outcome = bench.run(item)
    assert isinstance(outcome, PrivateNotRun)
    assert "31337" not in f"{outcome!r} {outcome} {outcome.__cause__!r} {outcome.__context__!r}"


def test_an_item_that_is_damaged_is_malformed(bench: Bench) -> None:
    item, _ = bench.item()
    broken = replace(item, inputs=item.inputs.replace(b'"index"', b'"other"'))
    assert told(bench.run(broken)) == "private item: its envelope is malformed"


def test_an_answer_that_is_too_large_once_it_is_sealed_is_not_sent(bench: Bench) -> None:
    rows = 90_000  # outputs just below the limit as JSON, and a third more in base64
    item, _ = bench.item(body(*[(1.25, 100.5)] * rows), rows)
    assert told(bench.run(item)) == "private item: its answer is too large"


@pytest.mark.parametrize(
    "request_",
    [31337, [31337], {"inputs": 31337}, {"inputs": [{"name": "31337"}]}, {**SECRET_BODY, "parameters": 31337}],
)
def test_what_is_no_request_is_not_repeated(bench: Bench, request_: Any) -> None:
    item, _ = bench.item(request_)
    assert told(bench.run(item)) == "private item: it does not fit the model's signature"
