"""The work port's remote adapter: HTTPS with the node's key, for machines without a database and behind NAT.

Every call has a time-out and a bounded retry with jitter; repeating any of them is safe, since fences make commits
idempotent and a claim gives again what this agent has of its unit already.
"""

import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import random
from typing import Any, TypeVar
from uuid import UUID

import httpx
import structlog

from agents.model_cache import MODEL_BYTES_MAX
from agents.transfers import CONNECT_TIMEOUT_S, download, upload
from backend.domain.backoff import delay_s
from backend.domain.errors import SwarmexError, Unauthenticated, Unavailable
from backend.domain.federated.tasks import UPDATE_BYTES_MAX
from backend.domain.ids import AgentId, ItemId, ModelId, NodeId, UnitId
from backend.domain.joining import MESSAGE_BYTES_MAX, MESSAGE_ITEMS_MAX, POLL_S_MAX, PROTOCOL
from backend.domain.sealing_keys import HeldKey, KeyStanding, KeyState
from backend.domain.tensors import Signature
from backend.domain.work import AgentBeat, BeatAnswer, ClaimedItem, ItemFailure, ItemResult, ModelRef

BASE = "/api/v1/node"
CALL_TIMEOUT_S = 10.0
BEAT_TIMEOUT_S = 2.0  # a beat that takes longer is worth less than the next one
ATTEMPTS_MAX = 3
TRANSFER_ATTEMPTS_MAX = 8  # of a file that was refused for now, within 6 to 11 seconds: others' files go meanwhile
CONNECTIONS_MAX = 8
PASSING = (408, 429, 502, 503, 504)  # statuses after which the same call may be tried again
MISSING = ("unknown_model", "unknown_weights")  # of the file itself, rather than of the agent or the item

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Refused(SwarmexError):
    """What the coordinator answered instead of what was asked for."""

    def __init__(self, status: int, code: str, message: str, field: str | None, accepted: str | None) -> None:
        super().__init__(message, code=code, field=field, accepted=accepted)
        self.status = status


class KeyRefused(Unauthenticated):
    """The node's key opens nothing any more."""

    code = "node_key_refused"


class RemoteWorkPort:
    """The work port over HTTP, and where its models come from; safe for several threads.

    `on_refused` is called, perhaps more than once, when the key turns out to be revoked. Errors that last are
    Unavailable(`api_unreachable`), Refused or KeyRefused.
    """

    def __init__(self, url: str, key: str, agent_id: AgentId, on_refused: Callable[[], None] = lambda: None) -> None:
        self._agent_id = agent_id
        self._on_refused = on_refused
        self._http = httpx.Client(
            base_url=url.rstrip("/") + BASE,
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(CALL_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX),
        )

    def beat(self, beat: AgentBeat) -> BeatAnswer:
        """Give a sign of life; tried once, since the next one follows."""
        told = {
            "name": beat.name,
            "host": beat.host,
            "pid": beat.pid,
            "work_done": beat.work_done,
            "work_waiting": beat.work_waiting,
            "tick_age_ms": beat.tick_age_ms,
        }
        answer = self._post("/work/beat", told, attempts=1, timeout_s=BEAT_TIMEOUT_S)
        return _read(lambda: BeatAnswer(drain=bool(answer["drain"])))

    def stopped(self, agent_id: AgentId) -> None:
        """Say that the agent has ended on purpose."""
        self._post("/work/stopped", {"agent": str(agent_id)}, attempts=1, timeout_s=BEAT_TIMEOUT_S)

    def poll(self, wait_s: float = POLL_S_MAX) -> list[UnitId]:
        """Units to claim, the most urgent first, as soon as there are any; none after `wait_s`."""
        answer = self._post("/work/poll", {"wait_s": wait_s}, attempts=1, timeout_s=wait_s + CALL_TIMEOUT_S)
        return _read(lambda: [UnitId(UUID(unit)) for unit in answer["units"]])

    def claim(self, unit_id: UnitId) -> list[ClaimedItem]:
        """Items of the unit that nobody else holds; what is left of a large unit comes with the next poll."""
        answer = self._post("/work/claim", {"unit": str(unit_id)})
        return _read(lambda: list(_claimed(answer)))

    def extend(self, held: Sequence[tuple[ItemId, int]]) -> set[ItemId]:
        """Keep items; tried once, since the next attempt follows."""
        return self._counted("/work/extend", "held", [_held(*one) for one in held], 1, BEAT_TIMEOUT_S)

    def commit(self, results: Sequence[ItemResult]) -> set[ItemId]:
        """Record results, in as many messages as their size asks for; those that counted."""
        counted: set[ItemId] = set()
        for message in _messages(results):
            told = [
                _held(r.item_id, r.fence) | {"busy_us": r.busy_us, "outputs": b64encode(r.outputs).decode()}
                for r in message
            ]
            counted |= self._counted("/work/commit", "results", told)
        return counted

    def fail(self, failures: Sequence[ItemFailure]) -> set[ItemId]:
        """Give back items that could not be run; those that counted."""
        told = [_held(f.item_id, f.fence) | {"error": f.error.replace("\0", "")} for f in failures]
        return self._counted("/work/fail", "failures", told)

    def release(self, held: Sequence[tuple[ItemId, int]]) -> set[ItemId]:
        """Give back items that were not run; those that counted."""
        return self._counted("/work/release", "held", [_held(*one) for one in held])

    def models(self) -> list[ModelRef]:
        """Every registered model; its URI is what `get_file` takes."""
        answer = self._call("GET", "/work/models", None, ATTEMPTS_MAX, CALL_TIMEOUT_S)
        return _read(lambda: [_model(model) for model in answer])

    def show_keys(self, held: Sequence[HeldKey]) -> list[KeyStanding]:
        """Say what the agent has of its node's sealing key; how it stands, and the challenge to answer."""
        told: dict[str, Any] = {}
        for key in held:  # one at most: the agent serves one node
            told["public_key"] = b64encode(key.public).decode()
            told["answer"] = None if key.answer is None else b64encode(key.answer).decode()
        answer = self._post("/work/sealing-key", told)
        return [_read(lambda: _standing(answer))]

    def get_file(self, key: str, path: Path) -> None:
        """Write the file of a model to `path`; raises FileNotFoundError when there is none."""
        self._transfer(lambda: download(self._http, f"/work/models/{key}/file", {}, path, MODEL_BYTES_MAX))

    def get_weights(self, item: ClaimedItem, key: str, path: Path) -> None:  # noqa: ARG002  known by the item
        """Write the weights that a training item begins with to `path`; raises FileNotFoundError where are none."""
        url, told = f"/work/items/{item.item_id}/weights", self._claim_of(item)
        self._transfer(lambda: download(self._http, url, told, path, UPDATE_BYTES_MAX))

    def put_update(self, item: ClaimedItem, key: str, path: Path) -> None:  # noqa: ARG002
        """Send the file at `path` as the update of a training item; the same again replaces it."""
        url, told = f"/work/items/{item.item_id}/update", self._claim_of(item)
        self._transfer(lambda: upload(self._http, url, told, path))

    def leave(self) -> None:
        """Withdraw the node's offer and let it finish its leases."""
        self._call("POST", "/drain", None, ATTEMPTS_MAX, CALL_TIMEOUT_S)

    def close(self) -> None:
        """Drop all connections."""
        self._http.close()

    def _claim_of(self, item: ClaimedItem) -> dict[str, str]:
        return {"agent": str(self._agent_id), "fence": str(item.fence)}

    def _transfer(self, transfer: Callable[[], httpx.Response]) -> None:
        """Bring a file over; raises FileNotFoundError where the coordinator has none.

        A refusal that passes costs nothing but its wait; a broken connection may have cost the whole of the file.
        """
        for attempt in range(1, TRANSFER_ATTEMPTS_MAX + 1):
            most = TRANSFER_ATTEMPTS_MAX
            try:
                answer = transfer()
                if answer.is_success:
                    return
                refusal = self._refusal(answer)
                if refusal.code in MISSING:
                    raise FileNotFoundError(str(answer.url))
                if answer.status_code not in PASSING:
                    raise refusal
                error = refusal
            except httpx.HTTPError as failure:
                error, most = unreachable(failure), ATTEMPTS_MAX
            if attempt >= most:
                break
            time.sleep(delay_s(attempt, random()))
        raise error

    def _counted(
        self,
        path: str,
        name: str,
        told: list[dict[str, Any]],
        attempts: int = ATTEMPTS_MAX,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> set[ItemId]:
        counted: set[ItemId] = set()
        for start in range(0, len(told), MESSAGE_ITEMS_MAX):
            body = {name: told[start : start + MESSAGE_ITEMS_MAX]}
            answer = self._post(path, body, attempts, timeout_s)
            counted |= _read(lambda answer=answer: {ItemId(UUID(item)) for item in answer["items"]})  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        return counted

    def _post(
        self, path: str, body: dict[str, Any], attempts: int = ATTEMPTS_MAX, timeout_s: float = CALL_TIMEOUT_S
    ) -> Any:
        whole = {"version": PROTOCOL, "agent": str(self._agent_id)} | body
        return self._call("POST", path, whole, attempts, timeout_s)

    def _call(self, method: str, path: str, body: dict[str, Any] | None, attempts: int, timeout_s: float) -> Any:
        for attempt in range(1, attempts + 1):
            try:
                answer = self._http.request(
                    method, path, json=body, timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
                )
                if answer.is_success:
                    return answer.json() if answer.content else None
                error: Exception = self._refusal(answer)
                if answer.status_code not in PASSING:
                    raise error
            except (httpx.HTTPError, ValueError) as failure:
                error = unreachable(failure)
            if attempt < attempts:
                time.sleep(delay_s(attempt, random()))
        raise error

    def _refusal(self, answer: httpx.Response) -> SwarmexError:
        told = refusal_in(answer)
        if answer.status_code == 401:
            self._on_refused()
            return KeyRefused(told.message, field=told.field, accepted=told.accepted)
        return told


def refusal_in(answer: httpx.Response) -> Refused:
    """The refusal in the coordinator's words, if it has any."""
    try:
        error = answer.json()["error"]
        return Refused(answer.status_code, error["code"], error["message"], error["field"], error["accepted"])
    except (ValueError, KeyError, TypeError):
        return Refused(answer.status_code, f"http_{answer.status_code}", f"answered {answer.status_code}", None, None)


def unreachable(error: Exception) -> Unavailable:
    """Why nothing came of a call."""
    return Unavailable(f"the coordinator does not answer: {error!r}", code="api_unreachable")


def _read(parse: Callable[[], T]) -> T:
    """What `parse` makes of an answer; raises Unavailable(`corrupt_answer`) for one that is not as agreed."""
    try:
        return parse()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unavailable(f"the coordinator's answer cannot be read: {error!r}", code="corrupt_answer") from error


def _held(item_id: ItemId, fence: int) -> dict[str, Any]:
    return {"item": str(item_id), "fence": fence}


def _model(told: dict[str, Any]) -> ModelRef:
    """A model whose URI is its id: where its file is, is the coordinator's business."""
    signature = Signature.from_wire(told["signature"])
    return ModelRef(ModelId(UUID(told["id"])), told["name"], told["version"], told["checksum"], told["id"], signature)


def _standing(told: dict[str, Any]) -> KeyStanding:
    state, challenge = told["state"], told["challenge"]
    sealed = None if challenge is None else b64decode(challenge, validate=True)
    return KeyStanding(NodeId(UUID(told["node"])), None if state is None else KeyState(state), sealed)


def _claimed(answer: dict[str, Any]) -> Iterator[ClaimedItem]:
    models = {model["id"]: _model(model) for model in answer["models"]}
    for item in answer["items"]:
        yield ClaimedItem(
            ItemId(UUID(item["id"])),
            item["fence"],
            item["attempt"],
            NodeId(UUID(item["node"])),
            item["rows"],
            b64decode(item["inputs"], validate=True),
            models[item["model"]],
        )


def _messages(results: Sequence[ItemResult]) -> Iterator[list[ItemResult]]:
    """Results in groups that one message carries."""
    group: list[ItemResult] = []
    size = 0
    for result in results:
        if group and size + len(result.outputs) > MESSAGE_BYTES_MAX:
            yield group
            group, size = [], 0
        group.append(result)
        size += len(result.outputs)
    if group:
        yield group
