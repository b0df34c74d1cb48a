"""Models behind another Open Inference Protocol server (Triton, KServe, a node of ours): tensors go there over HTTP.

Only servers that the operator allows are asked, each with its own credential; redirects are not followed. Raw
tensors are sent where the server speaks that extension. Every call has limits, a bounded retry and a breaker.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from random import random
from typing import Any

import httpx
import orjson

from agents.engines.base import InferenceFailed, Loaded, ModelUnusable
from backend.domain.backoff import delay_s
from backend.domain.errors import Invalid, InvalidTensor, Unavailable
from backend.domain.remote_models import RemoteModel, parse_remote
from backend.domain.tensors import HEADER_LENGTH, Array, read_outputs, render, split_body
from backend.domain.tensors.signature import Signature
from backend.messaging.breaker import Breaker
from backend.messaging.breaker_errors import BreakerOpen
from backend.messaging.breaker_policy import BreakerPolicy
from backend.messaging.breakers import Breakers

CONNECT_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 30.0  # between two pieces of an answer
CALL_S_MAX = 60.0  # for the whole of it
ANSWER_BYTES_MAX = 64 << 20
CONNECTIONS_MAX = 16
ATTEMPTS_MAX = 2  # of a call that did not arrive, or found no place
PASSING = (429, 502, 503, 504)
TOLD_CHARS_MAX = 200
EXTENSION = "binary_tensor_data"
BREAKER_POLICY = BreakerPolicy(fail_max=5, recovery_s=5.0, exclude=(InferenceFailed,))


class BackendAway(Unavailable):
    """The server behind a remote model does not answer, or takes nothing now."""

    code = "model_backend_away"


class RemoteEngine:
    """The engine for documents that name a remote model; `backends` has a bearer token, or "", by host:port."""

    def __init__(self, backends: Mapping[str, str], breakers: Breakers) -> None:
        self._backends = {host.lower(): token for host, token in backends.items()}
        self._breakers = breakers
        self._http = httpx.Client(
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX),
            headers={"Accept-Encoding": "identity"},
            trust_env=False,
        )

    def load(self, path: Path) -> Loaded:
        """The model that the document at `path` names, if its server has it; raises ModelUnusable, BackendAway."""
        try:
            model = parse_remote(path.read_bytes())
        except Invalid as error:
            raise ModelUnusable(f"{error.field}: {error.message}", accepted=error.accepted) from error
        token = self._backends.get(model.host)
        if token is None:
            raise ModelUnusable(
                f"{model.host} is not to be asked from here", accepted=", ".join(self._backends) or None
            )
        breaker = self._breakers.get("backend", model.host, BREAKER_POLICY, shared=False)
        server = _Server(self._http, model, token, breaker)
        try:
            server.call("GET", f"{model.path}/ready")
            _, described = server.call("GET", "/v2")
        except InferenceFailed as error:
            raise ModelUnusable(f"{model.url} does not serve {model.model}: {error.message}") from error
        return _RemoteModel(server, model, raw=EXTENSION in _extensions(described))


class _Server:
    """Calls to one server."""

    def __init__(self, http: httpx.Client, model: RemoteModel, token: str, breaker: Breaker) -> None:
        self._http = http
        self._url = model.url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._breaker = breaker

    def call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[httpx.Headers, bytes]:
        """The answer; raises BackendAway, and InferenceFailed in the words of a server that refuses."""
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                with self._breaker.calling():
                    return self._call(method, path, body, self._headers | dict(headers or {}))
            except BreakerOpen as error:
                raise BackendAway(f"{self._url} has not answered lately", accepted="try again") from error
            except BackendAway:
                if attempt == ATTEMPTS_MAX:
                    raise
                time.sleep(delay_s(attempt, random()))
        raise AssertionError("the last attempt returns or raises")

    def _call(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[httpx.Headers, bytes]:
        deadline = time.monotonic() + CALL_S_MAX
        content = bytearray()
        try:
            with self._http.stream(method, self._url + path, content=body, headers=headers) as answer:
                for chunk in answer.iter_raw():
                    content += chunk
                    if len(content) > ANSWER_BYTES_MAX:
                        raise InferenceFailed("the server's answer is too large", accepted=f"{ANSWER_BYTES_MAX} bytes")
                    if time.monotonic() > deadline:
                        raise BackendAway(f"{self._url} did not finish its answer within {CALL_S_MAX:.0f} s")
        except httpx.HTTPError as error:
            raise BackendAway(f"{self._url} does not answer: {error!r}"[:TOLD_CHARS_MAX]) from error
        if answer.status_code in PASSING:
            raise BackendAway(f"{self._url} answered {answer.status_code}", accepted="try again")
        if not answer.is_success:
            said = bytes(content[:TOLD_CHARS_MAX]).decode("utf-8", "replace")
            raise InferenceFailed(f"the server answered {answer.status_code}: {said}")
        return answer.headers, bytes(content)


class _RemoteModel:
    def __init__(self, server: _Server, model: RemoteModel, *, raw: bool) -> None:
        self._server = server
        self._path = f"{model.path}/infer"
        self._signature = model.signature
        self._wishes = dict.fromkeys((spec.name for spec in model.signature.outputs), raw)
        self._asked = Signature((), model.signature.inputs)  # what is sent is written as what is answered is
        self._raw = raw

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        sent = render(inputs, self._asked, dict.fromkeys(inputs, self._raw))
        body: dict[str, Any] = {"inputs": sent.tensors, "parameters": {"binary_data_output": self._raw}}
        header = orjson.dumps(body)
        headers = {"Content-Type": "application/json"}
        if self._raw:
            headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(header))}
        told, answer = self._server.call("POST", self._path, b"".join([header, *sent.buffers]), headers)
        try:
            first, buffers = split_body(answer, told.get(HEADER_LENGTH))
            outputs = orjson.loads(first)["outputs"]
            return read_outputs(outputs, self._signature, self._wishes, buffers).arrays()
        except InvalidTensor as error:
            raise InferenceFailed(f"the server's answer is wrong: {error.field}: {error.message}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InferenceFailed("the server's answer cannot be read") from error


def _extensions(described: bytes) -> list[str]:
    """What a server's metadata says it speaks; one that says nothing readable gets JSON."""
    try:
        extensions = orjson.loads(described)["extensions"]
        return [str(extension) for extension in extensions]
    except (ValueError, KeyError, TypeError):
        return []
