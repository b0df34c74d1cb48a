"""What the protocol tells about models, as its unmodified client asks: configuration, statistics, repository."""

from collections.abc import Callable, Iterator

import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.integration.api.callers import TIMEOUT_S, Callers, Client
from tests.integration.api.requests import body, tensor
from tests.integration.api.supply import Supply

INFER = "/v2/models/scale/infer"


@pytest.fixture
def client(url: str) -> Iterator[triton.InferenceServerClient]:
    """Triton's client, as it comes."""
    with triton.InferenceServerClient(url.removeprefix("http://"), network_timeout=TIMEOUT_S) as made:
        yield made


def bearer(client: Client) -> dict[str, str]:
    """A key, as the client sends it."""
    return {"Authorization": client.headers["Authorization"]}


def test_the_server_tells_what_it_speaks(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    about = client.get_server_metadata()
    assert about["name"] == "swarmex"
    assert {"binary_tensor_data", "model_configuration", "model_repository", "statistics"} <= set(about["extensions"])


def test_a_models_metadata_and_configuration_tell_the_same_tensors(
    client: triton.InferenceServerClient, callers: Callers
) -> None:
    headers = bearer(callers.user)
    for version in ("", "1"):
        assert client.is_model_ready("scale", version, headers=headers)
        about = client.get_model_metadata("scale", version, headers=headers)
        assert (about["versions"], about["platform"]) == (["1"], "onnxruntime_onnx")
        config = client.get_model_config("scale", version, headers=headers)
        assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 4]}]
        assert config["output"] == [{"name": "y", "data_type": "TYPE_FP32", "dims": [-1, 4]}]
        assert config["max_batch_size"] == 0
    assert not client.is_model_ready("nobody", headers=headers)


def test_the_repository_lists_every_model_and_loads_what_is_registered(
    client: triton.InferenceServerClient, callers: Callers
) -> None:
    headers = bearer(callers.user)
    index = client.get_model_repository_index(headers=headers)
    assert index == [{"name": "scale", "version": "1", "state": "READY", "reason": ""}]
    client.load_model("scale", headers=headers)
    cases: list[tuple[Callable[[], object], str, str]] = [
        (lambda: client.load_model("nobody", headers=headers), "404", "no model"),
        (lambda: client.load_model("scale", headers=headers, config='{"a": 1}'), "422", "registered"),
        (lambda: client.unload_model("scale", headers=headers), "409", "registry"),
        (lambda: client.load_model("scale"), "401", "API key"),
        (lambda: client.register_system_shared_memory("r", "/r", 8, headers=headers), "400", "shared memory"),
        (lambda: client.get_cuda_shared_memory_status(headers=headers), "400", "shared memory"),
        (client.unregister_system_shared_memory, "401", "API key"),
    ]
    for refused, status, said in cases:
        with pytest.raises(InferenceServerException, match=said) as caught:
            refused()
        assert caught.value.status() == status


def test_bodies_of_the_repository_routes_are_objects_or_nothing(callers: Callers) -> None:
    assert callers.user.post("/v2/repository/index", json={"ready": True}).status_code == 200
    for content in (b"[]", b"{", b"1"):
        refused = callers.user.post("/v2/repository/index", content=content)
        assert (refused.status_code, refused.headers["Swarmex-Error-Code"]) == (400, "invalid_json")


def test_statistics_count_what_was_served_and_are_told_to_whom_it_was_served(
    client: triton.InferenceServerClient, callers: Callers, supply: Supply
) -> None:
    def seen(by: Client, model: str = "scale") -> list[tuple[str, int, int, int]]:
        listed = client.get_inference_statistics(model, headers=bearer(by))["model_stats"]
        return [
            (s["name"], s["inference_count"], s["execution_count"], s["inference_stats"]["success"]["count"])
            for s in listed
        ]

    assert seen(callers.user) == [("scale", 0, 0, 0)]
    two_rows = tensor(shape=[2, 4], data=[1.0] * 8)
    assert callers.user.post(INFER, json=body(inputs=[two_rows])).status_code == 200
    assert callers.user.post(INFER, json=body()).status_code == 200
    assert callers.provider.post(INFER, json=body()).status_code == 402
    assert seen(callers.user) == seen(callers.user, "") == [("scale", 3, 2, 2)]
    assert seen(callers.admin) == [("scale", 3, 2, 2)]
    assert seen(callers.provider) == [("scale", 0, 0, 0)]
    [all_of_it] = client.get_inference_statistics(headers=bearer(callers.admin))["model_stats"]
    assert all_of_it["inference_stats"]["fail"]["count"] == 1
    assert all_of_it["inference_stats"]["compute_infer"]["ns"] > 0
    assert all_of_it["last_inference"] > 0
    [mine] = client.get_inference_statistics("scale", "1", headers=bearer(callers.user))["model_stats"]
    assert mine["inference_stats"]["fail"]["count"] == 0
