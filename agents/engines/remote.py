"""Models behind another Open Inference Protocol server (Triton, KServe, a node of ours): tensors go there over HTTP.

Only servers that the operator allows are asked, each with its own credential; redirects are not followed. Raw
tensors are sent where the server speaks that extension. Every call has limits, a bounded retry and a breaker.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from agents.engines.base import InferenceFailed, Loaded, ModelUnusable, NothingRun
from backend.domain.errors import Forbidden, Invalid, InvalidTensor
from backend.domain.external_nodes import DOCUMENT_BYTES_MAX
from backend.domain.remote_models import RemoteModel, parse_remote
from backend.domain.tensors import HEADER_LENGTH, Array, read_outputs, render, split_body
from backend.domain.tensors.signature import Signature
from backend.messaging.breakers import Breakers
from backend.messaging.inference_server import (
    ANSWER_BYTES_MAX,
    BREAKER_POLICY,
    InferenceServer,
    ServerAway,
    ServerBroke,
    ServerRefused,
)

EXTENSION = "binary_tensor_data"


class BackendAway(NothingRun):
    """The server behind a remote model does not answer, or takes nothing now."""

    code = "model_backend_away"


class RemoteEngine:
    """The engine for documents that name a remote model; `backends` has a bearer token, or "", by host:port."""

    def __init__(self, backends: Mapping[str, str], breakers: Breakers) -> None:
        self._backends = {host.lower(): token for host, token in backends.items()}
        self._breakers = breakers
        self._servers: dict[str, InferenceServer] = {}

    def load(self, path: Path) -> Loaded:
        """The model that the document at `path` names, if its server has it; raises ModelUnusable, BackendAway."""
        model = read_document(path)
        if model.host not in self._backends:
            raise ModelUnusable(
                f"{model.host} is not to be asked from here", accepted=", ".join(self._backends) or None
            )
        return load_from(self._server(model), model)

    def _server(self, model: RemoteModel) -> InferenceServer:
        if model.url not in self._servers:
            token = self._backends[model.host]
            breaker = self._breakers.get("backend", model.host, BREAKER_POLICY, shared=False)
            self._servers[model.url] = InferenceServer(model.url, f"Bearer {token}" if token else None, breaker)
        return self._servers[model.url]


def read_document(path: Path) -> RemoteModel:
    """The model that the document at `path` names; raises ModelUnusable."""
    try:
        return parse_remote(path.read_bytes())
    except Invalid as error:
        raise ModelUnusable(f"{error.field}: {error.message}", accepted=error.accepted) from error


def load_from(server: InferenceServer, model: RemoteModel) -> Loaded:
    """The model as its server has it; raises ModelUnusable, BackendAway."""
    try:
        _ask(server, "GET", f"{model.path}/ready", bytes_max=DOCUMENT_BYTES_MAX)
        _, described = _ask(server, "GET", "/v2", bytes_max=DOCUMENT_BYTES_MAX)
    except InferenceFailed as error:
        raise ModelUnusable(f"{model.url} does not serve {model.model}: {error.message}") from error
    return _RemoteModel(server, model, raw=EXTENSION in _extensions(described))


def _ask(
    server: InferenceServer,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    bytes_max: int = ANSWER_BYTES_MAX,
) -> tuple[dict[str, str], bytes]:
    """The answer; raises BackendAway, and InferenceFailed in the words of a server that refuses."""
    try:
        return server.call(method, path, body, headers, bytes_max=bytes_max)
    except ServerAway as error:
        raise BackendAway(error.message, accepted=error.accepted) from error
    except (ServerBroke, ServerRefused, Forbidden) as error:
        raise InferenceFailed(error.message) from error


class _RemoteModel:
    def __init__(self, server: InferenceServer, model: RemoteModel, *, raw: bool) -> None:
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
        told, answer = _ask(self._server, "POST", self._path, b"".join([header, *sent.buffers]), headers)
        try:
            first, buffers = split_body(answer, told.get(HEADER_LENGTH.lower()))
            outputs = orjson.loads(first)["outputs"]
            arrays = read_outputs(outputs, self._signature, self._wishes, buffers).arrays()
        except InvalidTensor as error:
            raise InferenceFailed(f"the server's answer is wrong: {error.field}: {error.message}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InferenceFailed("the server's answer cannot be read") from error
        for spec in self._signature.outputs:
            if not _has_shape(arrays[spec.name], spec.shape):
                shape = list(arrays[spec.name].shape)
                raise InferenceFailed(f"the server's answer is wrong: output {spec.name!r} of shape {shape}")
        return arrays


def _has_shape(array: Array, shape: tuple[int, ...]) -> bool:
    return array.ndim == len(shape) and all(
        wanted in (-1, found) for wanted, found in zip(shape, array.shape, strict=True)
    )


def _extensions(described: bytes) -> list[str]:
    """What a server's metadata says it speaks; one that says nothing readable gets JSON."""
    try:
        extensions = orjson.loads(described)["extensions"]
        return [str(extension) for extension in extensions]
    except (ValueError, KeyError, TypeError):
        return []
