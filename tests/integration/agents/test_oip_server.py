"""A node's Open Inference Protocol server over real HTTP."""

import gzip
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import httpx
import orjson
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from agents.engines.onnx import OnnxEngine
from agents.inference import models as loaded_models
from agents.inference import oip_app
from agents.inference.catalogue import Catalogue
from agents.inference.models import LoadedModels
from agents.model_cache import ModelCache
from agents.oip_server import OipServer
from backend.domain.serving import EXTENSIONS
from backend.domain.work import ModelRef
from backend.storage.objects import ObjectStore
from tests.integration.agents.disks import disk_away
from tests.onnx_files import reference_to, request, write_doubling, write_slow_on_demand
from tests.waiting import PATIENCE_S, until

INFER = "/v2/models/doubling/infer"


class Registry:
    """The one question that a catalogue asks of the work port."""

    def __init__(self) -> None:
        self.known: list[ModelRef] = []
        self.asked = 0
        self.away = False

    def models(self) -> list[ModelRef]:
        self.asked += 1
        if self.away:
            raise ConnectionError("away")
        return self.known


class Served:
    """A server with two versions of a model, and a client that shows the token."""

    def __init__(self, folder: Path, **limits: int) -> None:
        self.folder = folder
        self.objects = ObjectStore((folder / "objects").as_uri())
        self.registry = Registry()
        self.register("doubling", 1, write_doubling(folder / "1.onnx", 20.0))
        self.register("doubling", 2, write_doubling(folder / "2.onnx", 2.0))
        self.register("slow", 1, write_slow_on_demand(folder / "slow.onnx"))
        self.models = LoadedModels(ModelCache(folder / "cache", self.objects), OnnxEngine())
        self.server = OipServer(Catalogue(self.registry), self.models, **limits)  # type: ignore[arg-type]  # as above
        self.server.start()
        assert self.server.wait_up(PATIENCE_S)
        self.client = httpx.Client(
            base_url=self.server.endpoint, headers={"Authorization": f"Bearer {self.server.token}"}, timeout=PATIENCE_S
        )

    def register(self, name: str, version: int, path: Path) -> ModelRef:
        uri = f"models/{path.name}"
        self.objects.put_file(path, uri)
        self.registry.known.append(reference_to(path, uri, name, version))
        return self.registry.known[-1]

    def infer(self, body: object, path: str = INFER) -> httpx.Response:
        return self.client.post(path, json=body)


class Halt:
    """Requests begin, and go no further until they may."""

    def __init__(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.may_go_on = threading.Semaphore(0), threading.Event()
        self.count = 0
        get = served.models.get

        def get_when_allowed(model: ModelRef) -> object:
            self.count += 1
            self.begun.release()
            assert self.may_go_on.wait(PATIENCE_S)
            return get(model)

        monkeypatch.setattr(served.models, "get", get_when_allowed)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    yield served
    served.client.close()
    served.server.stop()


def test_the_newest_version_answers_unless_another_is_named(served: Served) -> None:
    newest = served.infer(request((1.0, 2.0)))
    assert newest.json() == {
        "model_name": "doubling",
        "model_version": "2",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [2.0, 4.0]}],
    }
    older = served.infer(request((1.0, 2.0)), "/v2/models/doubling/versions/1/infer")
    assert older.json()["model_version"] == "1"
    assert older.json()["outputs"][0]["data"] == [20.0, 40.0]


def test_an_id_is_echoed_and_left_out_when_absent(served: Served) -> None:
    assert served.infer(request((1.0, 2.0)) | {"id": "a-7"}).json()["id"] == "a-7"
    assert "id" not in served.infer(request((1.0, 2.0))).json()


def test_every_answer_says_how_long_the_engine_was_busy(served: Served) -> None:
    quick = [served.infer(request((1.0, 0.0)), "/v2/models/slow/infer") for _ in range(5)]
    slow = served.infer(request((1.0, 100.0)), "/v2/models/slow/infer")
    quickest_us = min(int(answer.headers["Swarmex-Busy-Us"]) for answer in quick)
    assert 1 <= quickest_us < int(slow.headers["Swarmex-Busy-Us"])
    assert int(slow.headers["Swarmex-Busy-Us"]) <= slow.elapsed.total_seconds() * 1e6


def test_metadata_and_health_are_as_the_protocol_has_them(served: Served) -> None:
    assert served.client.get("/v2").json()["extensions"] == list(EXTENSIONS)
    assert served.client.get("/v2/models/doubling").json() == {
        "name": "doubling",
        "versions": ["1", "2"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
    }
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/doubling/ready"):
        assert served.client.get(path).status_code == 200
    assert served.client.get("/v2/models/doubling/versions/2/ready").status_code == 200


def test_an_unmodified_client_manages_a_nodes_models(served: Served) -> None:
    headers = {"Authorization": f"Bearer {served.server.token}"}
    in_memory = {"name": "doubling", "version": "2", "state": "READY", "reason": ""}
    with triton.InferenceServerClient(served.server.endpoint.removeprefix("http://")) as client:
        assert served.infer(request((1.0, 2.0))).status_code == 200
        assert in_memory in client.get_model_repository_index(headers=headers)
        client.unload_model("doubling", headers=headers)
        index = client.get_model_repository_index(headers=headers)
        assert [entry["state"] for entry in index] == ["READY"] * 3
        assert all(entry["reason"] for entry in index), "none of them is in memory"
        client.load_model("doubling", headers=headers)
        assert in_memory in client.get_model_repository_index(headers=headers)
        config = client.get_model_config("doubling", headers=headers)
        assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 2]}]
        told = client.get_inference_statistics("doubling", headers=headers)["model_stats"]
        assert client.get_inference_statistics(headers=headers)["model_stats"] == told
        [totals] = told
        assert (totals["version"], totals["inference_count"], totals["inference_stats"]["success"]["count"]) == (
            "2",
            1,
            1,
        )
        refusals: list[Callable[[], object]] = [
            lambda: client.load_model("nobody", headers=headers),
            lambda: client.load_model("doubling", headers=headers, config="{}"),
            lambda: client.get_system_shared_memory_status(headers=headers),
            lambda: client.get_model_config("doubling"),
        ]
        for refused in refusals:
            with pytest.raises(InferenceServerException):
                refused()


@pytest.mark.parametrize("path", ["/v2", "/v2/models/doubling", "/v2/models/doubling/ready"])
@pytest.mark.parametrize("given", [None, "Bearer wrong", "Basic dTpw", "Bearer", "Bearer \xe9"])
def test_without_the_agents_token_nothing_but_health_is_told(served: Served, path: str, given: str | None) -> None:
    headers = [] if given is None else [(b"Authorization", given.encode("latin-1"))]
    with httpx.Client(base_url=served.server.endpoint) as stranger:
        refused = stranger.get(path, headers=headers)
        assert refused.status_code == 401
        assert refused.json().keys() == {"error"}
        assert stranger.post(INFER, json=request((1.0, 2.0)), headers=headers).status_code == 401
        assert stranger.get("/v2/health/live").status_code == 200


def test_a_token_is_new_at_every_start(served: Served, tmp_path: Path) -> None:
    assert len(served.server.token) >= 32
    models = LoadedModels(ModelCache(tmp_path / "cache", served.objects), OnnxEngine())
    other = OipServer(Catalogue(served.registry), models)  # type: ignore[arg-type]  # the one question
    assert other.token != served.server.token
    other.stop()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/nobody/infer", 404),
        ("/v2/models/doubling/versions/3/infer", 404),
        ("/v2/models/doubling/versions/two/infer", 404),
        ("/v2/models/doubling/versions/٣/infer", 404),
        ("/v2/models/doubling/versions/99999999999999999999/infer", 404),
        ("/v2/elsewhere", 404),
        ("/v2/models/doubling", 405),
    ],
)
def test_unknown_paths_and_models_are_told_apart_from_broken_ones(served: Served, path: str, status: int) -> None:
    answer = served.infer(request((1.0, 2.0)), path)
    assert answer.status_code == status
    assert answer.json().keys() == {"error"}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"[]", "inputs"),
        (b"{}", "inputs"),
        (b'{"inputs": [{"name": "z", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}', "inputs[0].name"),
        (b'{"inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}]}', "FP32"),
        (b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}', "shape"),
        (b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1]}]}', "data"),
        (b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, NaN]}]}', "JSON"),
        (b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 1e39]}]}', "data"),
    ],
)
def test_a_bad_request_is_told_the_field_and_what_would_pass(served: Served, body: bytes, named: str) -> None:
    answer = served.client.post(INFER, content=body)
    assert answer.status_code == 400
    assert named in answer.json()["error"]


def test_a_body_above_the_limit_is_refused_before_it_is_read_whole(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oip_app, "REQUEST_BYTES_MAX", 1_000)
    assert served.client.post(INFER, content=b" " * 2_000).status_code == 413


def test_a_body_that_does_not_arrive_ends_with_an_answer(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oip_app, "BODY_TIMEOUT_S", 0.2)

    def dripping() -> Iterator[bytes]:
        yield b"{"
        time.sleep(1.0)
        yield b"}"

    assert served.client.post(INFER, content=dripping()).status_code == 400


def test_raw_buffers_are_taken_and_given(served: Served) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
    header = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
    body = header + struct.pack("<2f", 1.0, 2.0)
    answer = served.client.post(INFER, content=body, headers={"Inference-Header-Content-Length": str(len(header))})
    assert answer.status_code == 200
    cut = int(answer.headers["Inference-Header-Content-Length"])
    assert orjson.loads(answer.content[:cut])["outputs"] == [tensor | {"name": "y"}]
    assert struct.unpack("<2f", answer.content[cut:]) == (2.0, 4.0)


@pytest.mark.parametrize("length", ["", "-1", "three", "1000", "9" * 5_000])
def test_a_json_part_that_is_not_so_long_is_refused(served: Served, length: str) -> None:
    answer = served.client.post(INFER, content=b"{}", headers={"Inference-Header-Content-Length": length})
    assert answer.status_code == 400
    assert "Inference-Header-Content-Length" in answer.json()["error"]


def test_a_compressed_body_is_refused_and_not_unpacked(served: Served) -> None:
    packed = gzip.compress(orjson.dumps(request((1.0, 2.0))))
    answer = served.client.post(INFER, content=packed, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 400
    assert "Content-Encoding" in answer.json()["error"]


def test_a_model_registered_later_is_found_when_it_is_asked_for(served: Served) -> None:
    assert served.infer(request((1.0, 2.0)), "/v2/models/late/infer").status_code == 404
    served.register("late", 1, write_doubling(served.folder / "late.onnx", 5.0))
    answer = served.infer(request((1.0, 2.0)), "/v2/models/late/infer")
    assert answer.json()["outputs"][0]["data"] == [5.0, 10.0]


def test_asking_for_unknown_models_does_not_flood_the_coordinator(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_answer = threading.Event()
    known = served.registry.models

    def known_when_allowed() -> list[ModelRef]:
        found = known()
        assert may_answer.wait(PATIENCE_S)
        return found

    monkeypatch.setattr(served.registry, "models", known_when_allowed)
    with ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(served.client.get, f"/v2/models/unknown-{n}") for n in range(16)]
        app = served.server._app
        assert app is not None
        until(lambda: len(app._looking._waiters or ()) == 15, "one looks, and all others wait")
        may_answer.set()
        assert {one.result(PATIENCE_S).status_code for one in asked} == {404}
    assert served.registry.asked == 2, "one look for the first, and one for all who came while it was under way"


def test_known_models_are_served_while_the_coordinator_is_away(served: Served) -> None:
    assert served.infer(request((1.0, 2.0))).status_code == 200
    served.registry.away = True
    time.sleep(0.3)
    assert served.infer(request((1.0, 2.0))).status_code == 200
    assert served.client.get("/v2/models/unknown").status_code == 503


def test_a_node_that_cannot_fetch_a_model_leaves_the_request_to_others_until_it_can(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_models, "REFUSAL_S", 0.0)
    with disk_away(served.folder / "cache"):
        refused = served.infer(request((1.0, 2.0)))
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert refused.json()["error"] == "the model's file cannot be fetched (accepted: try again in a moment)"
    assert served.infer(request((1.0, 2.0))).status_code == 200


def test_a_model_with_another_checksum_is_not_served(served: Served) -> None:
    model = served.register("forged", 1, write_doubling(served.folder / "forged.onnx", 7.0))
    (served.folder / "objects" / model.uri).write_bytes((served.folder / "1.onnx").read_bytes())
    time.sleep(0.3)
    answer = served.infer(request((1.0, 2.0)), "/v2/models/forged/infer")
    assert answer.status_code == 503
    assert model.checksum in answer.json()["error"]


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Served]:
    """A server with one thread and places for two."""
    served = Served(tmp_path, in_flight_max=2, threads=1)
    assert served.infer(request((1.0, 2.0))).status_code == 200
    yield served
    served.client.close()
    served.server.stop()


def test_above_the_limit_of_places_requests_are_turned_away_at_once(
    narrow: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    halt = Halt(narrow, monkeypatch)
    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(narrow.infer, request((1.0, 2.0))) for _ in range(6)]
        try:
            turned_away = [one.result() for _, one in zip(range(4), as_completed(waiting, PATIENCE_S), strict=False)]
        finally:
            halt.may_go_on.set()
        codes = sorted(one.result(PATIENCE_S).status_code for one in waiting)
    assert [answer.status_code for answer in turned_away] == [429] * 4, "while those with a place are not done"
    assert all(answer.headers["Retry-After"] == "1" for answer in turned_away)
    assert codes == [200, 200, 429, 429, 429, 429]


def test_a_client_that_leaves_gives_its_place_back_and_its_queued_work_is_not_done(
    narrow: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    halt = Halt(narrow, monkeypatch)

    def in_flight(count: int) -> None:
        app = narrow.server._app
        assert app is not None
        until(lambda: app.admission.in_flight == count, f"{count} are in flight")

    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(narrow.infer, request((1.0, 2.0)))
        assert halt.begun.acquire(timeout=PATIENCE_S)
        asked = narrow.client.build_request("POST", INFER, json=request((1.0, 2.0)))
        head = [f"POST {INFER} HTTP/1.1", *(f"{name}: {value}" for name, value in asked.headers.items()), "", ""]
        with socket.create_connection((asked.url.host, asked.url.port or 80)) as line:
            line.sendall("\r\n".join(head).encode() + asked.read())
            in_flight(2)
        in_flight(1)
        last = pool.submit(narrow.infer, request((1.0, 2.0)))
        in_flight(2)
        halt.may_go_on.set()
        assert [one.result(PATIENCE_S).status_code for one in (running, last)] == [200, 200]
    assert halt.count == 2, "the work of the one that left was not begun"


def test_draining_finishes_what_is_in_flight_and_takes_nothing_new(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert served.infer(request((1.0, 2.0))).status_code == 200
    halt = Halt(served, monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(served.infer, request((1.0, 2.0)))
        assert halt.begun.acquire(timeout=PATIENCE_S)
        served.server.drain()
        assert served.infer(request((1.0, 2.0))).status_code == 503
        assert served.client.get("/v2/health/ready").status_code == 503
        stopping = pool.submit(served.server.stop, PATIENCE_S)
        until(lambda: refuses(served.server.endpoint), "it takes no connection any more")
        halt.may_go_on.set()
        assert running.result(PATIENCE_S).status_code == 200
        stopping.result(PATIENCE_S)


def refuses(endpoint: str) -> bool:
    """Whether nobody listens there."""
    url = httpx.URL(endpoint)
    try:
        with socket.create_connection((url.host, url.port or 80), timeout=PATIENCE_S):
            return False
    except ConnectionRefusedError:
        return True
