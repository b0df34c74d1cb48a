"""Items of private orders: opened here, in memory, run alone, and their answers sealed before they leave.

Nothing of their content may reach a log, a span or the market: what went wrong is told by one of a few words.
"""

from collections.abc import Callable
from dataclasses import replace

import orjson

from agents.engines.base import NothingRun
from agents.inference.item_batch import ItemBatch, Outcome
from backend.domain.errors import SwarmexError
from backend.domain.private_envelope import answer_outputs, is_private, read_item
from backend.domain.tensors import Signature, parse_request, rows_of
from backend.domain.work import PAYLOAD_BYTES_MAX, ClaimedItem, ItemResult
from backend.storage.key_folder import KeyFolder


class PrivateFailure(SwarmexError):
    """Why a private item did not run, in a word that says nothing of what was in it."""

    code = "private_failure"

    def __init__(self, reason: str) -> None:
        super().__init__(f"private item: {reason}")


class PrivateNotRun(NothingRun):
    """What the model needs was not to be had; its server's words are not passed on."""

    code = "private_not_run"


class PrivateItems:
    """Runs what only this node can read."""

    def __init__(self, keys: KeyFolder | None) -> None:
        self._keys = keys

    def run(self, batch: Callable[[], ItemBatch], item: ClaimedItem) -> Outcome:
        """What became of an item; a failure is a PrivateFailure, whatever it was, or a PrivateNotRun."""
        try:
            return self._run(batch, item)
        except PrivateFailure as failure:
            return failure
        except NothingRun:
            return PrivateNotRun("private item: nothing was run")
        except Exception:  # its words may be about what the item holds
            return PrivateFailure("the model failed")

    def _run(self, batch: Callable[[], ItemBatch], item: ClaimedItem) -> Outcome:
        from backend.domain.private_sealing import (  # its library is slow to import, and most nodes need it never
            CannotOpen,
            SealedModel,
            open_item,
            seal_answer,
        )

        secret = None if self._keys is None else self._keys.secret(item.node_id)
        if secret is None:
            raise PrivateFailure("this agent has no key of the node")
        model = SealedModel(item.model.name, item.model.version, item.model.checksum)
        try:
            opened = open_item(read_item(item.inputs), model, item.rows, item.node_id, secret)
        except CannotOpen:
            raise PrivateFailure("it cannot be opened with this node's key, for this model") from None
        except SwarmexError:
            raise PrivateFailure("its envelope is malformed") from None
        self._check(opened.body, item)
        [(_, outcome)] = list(batch().run([replace(item, inputs=opened.body)]))
        if isinstance(outcome, NothingRun):
            raise outcome
        if not isinstance(outcome, ItemResult):
            raise PrivateFailure("the model failed")
        try:
            outputs = answer_outputs(seal_answer(opened, outcome.outputs))
        except SwarmexError:
            raise PrivateFailure("its reply key is none") from None
        if len(outputs) > PAYLOAD_BYTES_MAX:
            raise PrivateFailure("its answer is too large")
        return replace(outcome, outputs=outputs)

    def _check(self, body: bytes, item: ClaimedItem) -> None:
        if is_private(body):
            raise PrivateFailure("it is no request of the protocol")
        rows = _rows(body, item.model.signature)
        if rows is None:
            raise PrivateFailure("it does not fit the model's signature")
        if rows != item.rows:
            raise PrivateFailure("it has other rows than its sender stated")


def _rows(body: bytes, signature: Signature) -> int | None:
    """The rows of a request; None for one that the model does not take."""
    try:
        return rows_of(parse_request(orjson.loads(body), signature), signature)
    except (SwarmexError, ValueError, RecursionError):
        return None
