"""Models behind another server: one of our own nodes, and servers that fail in every way."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.engines.base import Engine, InferenceFailed, ModelUnusable
from agents.engines.formats import ONNX, REMOTE, Engines
from agents.engines.onnx import OnnxEngine
from agents.engines.remote import BackendAway, RemoteEngine
from agents.inference.catalogue import Catalogue
from agents.inference.models import LoadedModels
from agents.model_cache import ModelCache
from agents.oip_server import OipServer
from backend.domain.external_nodes import DOCUMENT_BYTES_MAX
from backend.domain.remote_models import FORMAT
from backend.domain.tensors import DATATYPES
from backend.domain.work import ModelRef
from backend.messaging import inference_server
from backend.messaging.breakers import Breakers
from backend.messaging.inference_server import InferenceServer, ServerRefused
from backend.storage.objects import ObjectStore
from tests.onnx_files import DOUBLING, reference_to, write_doubling
from tests.waiting import PATIENCE_S

ROWS = {"x": np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)}


class Registry:
    """The one question that a catalogue asks."""

    def __init__(self, *models: ModelRef) -> None:
        self._models = models

    def models(self) -> list[ModelRef]:
        return list(self._models)


class Backend:
    """A server that answers as it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {"/v2/models/m/ready": (200, b""), "/v2": (200, b"{}")}
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(b"")

            def do_POST(self) -> None:
                self.answer(self.rfile.read(int(self.headers["Content-Length"])))

            def answer(self, body: bytes) -> None:
                backend.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                status, content = backend.answers.get(self.path, (404, b'{"error": "no such model"}'))
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                if status == 302:
                    self.send_header("Location", "/v2")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def says(self, outputs: object) -> None:
        self.answers["/v2/models/m/infer"] = (200, json.dumps({"outputs": outputs}).encode())

    def fails(self, status: int, said: bytes = b"") -> None:
        self.answers["/v2/models/m/infer"] = (status, said)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE_S)


@pytest.fixture
def backend() -> Iterator[Backend]:
    backend = Backend()
    yield backend
    backend.stop()


def document(folder: Path, host: str, model: str = "m", **changes: Any) -> Path:
    """The file of a model at `host`."""
    told = {"format": FORMAT, "url": f"http://{host}", "model": model} | DOUBLING.to_wire()
    path = folder / "remote.json"
    path.write_text(json.dumps(told | {"profile": {"us_per_call": 1, "us_per_row": 1}} | changes))
    return path


def engine(*hosts: str, token: str = "") -> Engine:
    backends = RemoteEngine(dict.fromkeys(hosts, token), Breakers())
    return Engines({ONNX: OnnxEngine(), REMOTE: backends})


def tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [2.0, 4.0, 6.0, 8.0]} | changes


def test_one_of_our_own_nodes_stands_behind_another(tmp_path: Path) -> None:
    store = ObjectStore((tmp_path / "objects").as_uri())
    genuine = write_doubling(tmp_path / "m.onnx")
    store.put_file(genuine, "models/m.onnx")
    behind = OipServer(
        Catalogue(Registry(reference_to(genuine))),  # type: ignore[arg-type]  # the one question
        LoadedModels(ModelCache(tmp_path / "behind", store), OnnxEngine()),
    )
    behind.start()
    assert behind.wait_up(PATIENCE_S)
    host = behind.endpoint.removeprefix("http://")
    written = document(tmp_path, host, version="1")
    store.put_file(written, "models/remote")
    models = LoadedModels(ModelCache(tmp_path / "front", store), engine(host, token=behind.token))
    held = models.get(reference_to(written, "models/remote"))
    assert held.run(ROWS)["y"].tolist() == [[2.0, 4.0], [6.0, 8.0]]
    assert held.joins, "its rows keep apart, so requests share calls"
    behind.stop()
    with pytest.raises(BackendAway):
        held.run(ROWS)


def test_raw_tensors_are_sent_where_they_are_spoken(tmp_path: Path, backend: Backend) -> None:
    backend.answers["/v2"] = (200, b'{"extensions": ["binary_tensor_data"]}')
    backend.says([tensor()])
    loaded = engine(backend.host).load(document(tmp_path, backend.host))
    assert loaded.run(ROWS)["y"].tolist() == [[2.0, 4.0], [6.0, 8.0]]
    _, headers, body = backend.asked[-1]
    header = json.loads(body[: int(headers["inference-header-content-length"])])
    assert body.endswith(ROWS["x"].tobytes())
    assert header["parameters"] == {"binary_data_output": True}


def test_where_they_are_not_json_is(tmp_path: Path, backend: Backend) -> None:
    backend.says([tensor()])
    loaded = engine(backend.host).load(document(tmp_path, backend.host))
    assert loaded.run(ROWS)["y"].tolist() == [[2.0, 4.0], [6.0, 8.0]]
    _, headers, body = backend.asked[-1]
    assert "inference-header-content-length" not in headers
    assert json.loads(body)["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4]}]


def test_each_server_is_shown_its_own_credential_and_one_without_none(tmp_path: Path, backend: Backend) -> None:
    engine(backend.host, token="secret").load(document(tmp_path, backend.host))
    assert {headers.get("authorization") for _, headers, _ in backend.asked} == {"Bearer secret"}
    backend.asked.clear()
    engine(backend.host).load(document(tmp_path, backend.host))
    assert {headers.get("authorization") for _, headers, _ in backend.asked} == {None}


def test_a_server_that_the_operator_did_not_allow_is_not_asked(tmp_path: Path, backend: Backend) -> None:
    with pytest.raises(ModelUnusable, match="not to be asked"):
        engine("gpu:8000").load(document(tmp_path, backend.host))
    with pytest.raises(ModelUnusable, match="format remote"):
        Engines({ONNX: OnnxEngine()}).load(document(tmp_path, backend.host))
    assert backend.asked == []


def test_a_document_that_cannot_be_read_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "remote.json"
    path.write_text("{}")
    with pytest.raises(ModelUnusable, match="format"):
        engine("gpu:8000").load(path)


def test_a_model_that_its_server_has_not_got_cannot_be_loaded(tmp_path: Path, backend: Backend) -> None:
    with pytest.raises(ModelUnusable, match="404"):
        engine(backend.host).load(document(tmp_path, backend.host, "other"))


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        ("nothing", "list"),
        ([], "complete"),
        ([tensor(), tensor()], "not asked for"),
        ([tensor(name="z")], "not asked for"),
        ([tensor(datatype="FP64")], "datatype"),
        ([tensor(shape=[2, 3])], "values"),
        ([tensor(shape=[2**40, 2**40])], "shape"),
        ([tensor(data=["a", "b", "c", "d"])], "FP32"),
        ([tensor(data=None)], "data"),
        ([tensor(parameters={"binary_data_size": 16})], "binary"),
    ],
)
def test_an_answer_that_is_not_as_described_is_a_failure_of_the_model(
    tmp_path: Path, backend: Backend, outputs: object, told: str
) -> None:
    loaded = engine(backend.host).load(document(tmp_path, backend.host))
    backend.says(outputs)
    with pytest.raises(InferenceFailed, match=told):
        loaded.run(ROWS)


@pytest.mark.parametrize("content", [b"", b"[]", b"<html>", b'{"outputs"', b"\xff" * 100])
def test_an_answer_that_cannot_be_read_is_one_as_well(tmp_path: Path, backend: Backend, content: bytes) -> None:
    loaded = engine(backend.host).load(document(tmp_path, backend.host))
    backend.fails(200, content)
    with pytest.raises(InferenceFailed, match="cannot be read"):
        loaded.run(ROWS)


def test_a_refusal_is_told_in_the_servers_words_and_not_repeated(tmp_path: Path, backend: Backend) -> None:
    loaded = engine(backend.host).load(document(tmp_path, backend.host))
    backend.fails(400, b'{"error": "x is negative"}')
    backend.asked.clear()
    for _ in range(2 * (inference_server.BREAKER_POLICY.fail_max or 0)):
        with pytest.raises(InferenceFailed, match="x is negative"):
            loaded.run(ROWS)
    assert len(backend.asked) == 2 * (inference_server.BREAKER_POLICY.fail_max or 0), (
        "nor does it speak against the server"
    )


def test_nobody_is_sent_elsewhere(tmp_path: Path, backend: Backend) -> None:
    loaded = engine(backend.host).load(document(tmp_path, backend.host))
    backend.fails(302)
    with pytest.raises(InferenceFailed, match="302"):
        loaded.run(ROWS)


def test_a_busy_server_is_asked_once_more_and_one_that_stays_away_not_for_a_while(
    tmp_path: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference_server, "delay_s", lambda *_: 0.0)
    loaded = engine(backend.host).load(document(tmp_path, backend.host))
    backend.fails(503)
    backend.asked.clear()
    with pytest.raises(BackendAway, match="503"):
        loaded.run(ROWS)
    assert len(backend.asked) == inference_server.ATTEMPTS_MAX
    for _ in range(inference_server.BREAKER_POLICY.fail_max or 0):
        with pytest.raises(BackendAway):
            loaded.run(ROWS)
    assert len(backend.asked) == inference_server.BREAKER_POLICY.fail_max


def test_an_answer_without_end_is_not_kept(backend: Backend) -> None:
    server = InferenceServer(f"http://{backend.host}", None)
    backend.fails(200, b" " * 2_000)
    with pytest.raises(ServerRefused, match="too large"):
        server.call("POST", "/v2/models/m/infer", b"{}", bytes_max=1_000)


@pytest.mark.parametrize("datatype", sorted(DATATYPES))
@pytest.mark.parametrize("raw", [False, True])
def test_every_datatype_goes_there_and_back(tmp_path: Path, backend: Backend, datatype: str, *, raw: bool) -> None:
    others: dict[str, list[Any]] = {"BOOL": [True, False], "BYTES": ["a", "\u00fc"]}
    values = others.get(datatype, [0, 1])
    backend.answers["/v2"] = (200, json.dumps({"extensions": ["binary_tensor_data"] if raw else []}).encode())
    side = [{"name": "x", "datatype": datatype, "shape": [-1]}]
    written = document(tmp_path, backend.host, inputs=side, outputs=side)
    backend.says([{"name": "x", "datatype": datatype, "shape": [2], "data": values}])
    sent = np.array([v.encode() if isinstance(v, str) else v for v in values], DATATYPES[datatype])
    came = engine(backend.host).load(written).run({"x": sent})["x"]
    assert came.dtype == DATATYPES[datatype]
    assert came.tolist() == sent.tolist()


@pytest.mark.parametrize("path", ["/v2", "/v2/models/m/ready"])
def test_what_a_server_shows_of_itself_is_not_read_without_end(tmp_path: Path, backend: Backend, path: str) -> None:
    backend.answers[path] = (200, b" " * (DOCUMENT_BYTES_MAX + 1))
    with pytest.raises(ModelUnusable, match="too large"):
        engine(backend.host).load(document(tmp_path, backend.host))
