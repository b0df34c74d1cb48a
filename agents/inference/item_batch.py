"""Items of one model from their JSON inputs to their JSON outputs, joined where the model allows it."""

from collections.abc import Iterator, Sequence

import orjson

from agents.engines.base import InferenceFailed
from agents.inference.execution import Execution
from agents.inference.held_model import HeldModel
from agents.inference.joining import Inputs, Kind, kind_of, run_joined
from backend.domain.tensors import parse_request, render_outputs
from backend.domain.work import PAYLOAD_BYTES_MAX, ClaimedItem, ItemResult, ModelRef

Outcome = ItemResult | Exception
Parsed = tuple[ClaimedItem, Inputs]


class ItemBatch:
    """Runs items of `ref`; an item that fails fails alone, whatever its model does."""

    def __init__(self, ref: ModelRef, model: HeldModel) -> None:
        self._signature = ref.signature
        self._model = model

    def next_of(self, items: Sequence[ClaimedItem], start: int) -> list[ClaimedItem]:
        """The items from `start` on that are to run next: one, or as many as their rows allow.

        One that comes back runs alone: it may be what its neighbours did not survive.
        """
        end, rows = start + 1, items[start].rows
        if self._model.joins and items[start].attempt == 1:
            while end < len(items) and items[end].attempt == 1 and rows + items[end].rows <= self._model.batch.rows:
                rows += items[end].rows
                end += 1
        return list(items[start:end])

    def run(self, items: Sequence[ClaimedItem]) -> Iterator[tuple[ClaimedItem, Outcome]]:
        """What became of each item, in any order."""
        kinds: dict[Kind | None, list[Parsed]] = {}
        for item in items:
            try:
                inputs = parse_request(orjson.loads(item.inputs), self._signature)
            except Exception as error:  # whatever is wrong with it, it is wrong with this item only
                yield item, error
            else:
                kind = kind_of(inputs, self._signature) if self._model.joins else None
                kinds.setdefault(kind, []).append((item, inputs))
        for kind, parsed in kinds.items():
            for group in [parsed] if kind is not None else [[one] for one in parsed]:
                yield from self._run_group(group)

    def _run_group(self, group: list[Parsed]) -> Iterator[tuple[ClaimedItem, Outcome]]:
        ran = run_joined(self._model, self._signature, [inputs for _, inputs in group])
        if all(isinstance(one, Execution) for one in ran):
            busy_us = sum(one.busy_us for one in ran if isinstance(one, Execution))
            self._model.batch.ran(sum(item.rows for item, _ in group), busy_us)
        for (item, _), one in zip(group, ran, strict=True):
            yield item, self._result(item, one) if isinstance(one, Execution) else one

    def _result(self, item: ClaimedItem, ran: Execution) -> Outcome:
        try:
            outputs = orjson.dumps({"outputs": render_outputs(ran.outputs, self._signature)})
        except Exception as error:  # the model gave what no JSON can say
            return error
        if len(outputs) > PAYLOAD_BYTES_MAX:
            return InferenceFailed(f"outputs of {len(outputs)} bytes", accepted=f"at most {PAYLOAD_BYTES_MAX}")
        return ItemResult(item.item_id, item.fence, ran.busy_us, outputs)
