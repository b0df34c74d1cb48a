"""Items of the digits model from JSON to JSON on one thread of a node: in joined runs, and each in a run of its own."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import orjson

from agents.engines.onnx import OnnxEngine
from agents.inference.item_batch import ItemBatch
from agents.inference.models import LoadedModels
from agents.model_cache import ModelCache
from backend.bootstrap import new_id
from backend.cli.demo.digits import request, train
from backend.domain.ids import ItemId, ModelId, NodeId
from backend.domain.work import ClaimedItem, ModelRef
from backend.services.onnx_models import checksum_of, inspect
from backend.storage.objects import ObjectStore
from tests.performance.bench import Bench
from tests.performance.rows import Row, Target

ITEMS = 5_000


def run(bench: Bench) -> Iterator[Row]:
    """The same items in turns, joined and alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        digits = train(folder / "trained")
        store = ObjectStore((folder / "objects").as_uri())
        store.put_file(digits.path, "models/digits.onnx")
        signature, _ = inspect(digits.path)
        ref = ModelRef(ModelId(new_id()), "digits", 1, checksum_of(digits.path), "models/digits.onnx", signature)
        held = LoadedModels(ModelCache(folder / "cache", store), OnnxEngine()).get(ref)
        images = [orjson.dumps(request(image[None])) for image in digits.images]
        joined = [
            ClaimedItem(ItemId(new_id()), 1, 1, NodeId(new_id()), 1, images[n % len(images)], ref) for n in range(ITEMS)
        ]
        alone = [replace(item, attempt=2) for item in joined]

        def rate(items: list[ClaimedItem]) -> float:
            batch, start, began = ItemBatch(ref, held), 0, perf_counter()
            while start < len(items):
                chunk = batch.next_of(items, start)
                start += sum(1 for _ in batch.run(chunk))
            return len(items) / (perf_counter() - began)

        pairs = bench.pairs(lambda: rate(joined), lambda: rate(alone))
    yield Row(
        "item_batches",
        pairs.value,
        "items/s of one node thread, joined",
        "each item by itself",
        pairs.reference_value,
        pairs.ratio,
        Target("ratio", "≥", 1.5),
    )
