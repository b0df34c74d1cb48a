"""Unmodified clients of the Open Inference Protocol over HTTP: every datatype, binary and JSON, mixed and refused."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from backend.bootstrap import Swarmex
from backend.domain.tensors import DATATYPES
from tests.integration.api.callers import TIMEOUT_S, Callers
from tests.integration.api.every_datatype import inputs, register_every, same, values
from tests.integration.api.supply import Supply


@pytest.fixture
def every(market: Swarmex, supply: Supply, tmp_path: Path) -> str:
    """The model of every datatype, registered and supplied."""
    return register_every(market, tmp_path)


@pytest.fixture
def client(url: str) -> Iterator[triton.InferenceServerClient]:
    """Triton's client, as it comes."""
    with triton.InferenceServerClient(url.removeprefix("http://"), network_timeout=TIMEOUT_S) as made:
        yield made


def bearer(callers: Callers) -> dict[str, str]:
    """The user's key, as the client sends it."""
    return {"Authorization": callers.user.headers["Authorization"]}


def outputs(module: Any = triton, *, binary: bool) -> list[Any]:
    """All outputs, in raw buffers or in JSON."""
    return [module.InferRequestedOutput(f"out_{name}", binary_data=binary) for name in DATATYPES]


def test_every_datatype_comes_back_as_it_was_sent(
    every: str, client: triton.InferenceServerClient, callers: Callers, subtests: pytest.Subtests
) -> None:
    headers = bearer(callers)
    ways: dict[str, tuple[list[Any], list[Any] | None]] = {
        "binary by default": (inputs(triton), None),
        "binary by name": (inputs(triton), outputs(binary=True)),
        "binary in, JSON out": (inputs(triton), outputs(binary=False)),
        "JSON in, binary out": (inputs(triton, binary=False), outputs(binary=True)),
        "JSON both ways": (inputs(triton, binary=False), outputs(binary=False)),
        "mixed": (inputs(triton, json=("INT8", "BYTES")), [*outputs(binary=True)[:6], *outputs(binary=False)[6:]]),
    }
    for way, (given, wanted) in ways.items():
        answer = client.infer(every, given, outputs=wanted, headers=headers, request_id="seven")
        assert answer.get_response()["id"] == "seven"
        for name in DATATYPES:
            with subtests.test(f"{name}, {way}"):
                assert same(name, answer.as_numpy(f"out_{name}"))


def test_the_asynchronous_client_works_as_well(every: str, url: str, callers: Callers) -> None:
    async def ask() -> Any:
        async with triton_aio.InferenceServerClient(url.removeprefix("http://")) as made:
            assert await made.is_server_live()
            assert await made.is_model_ready(every, headers=bearer(callers))
            return await asyncio.gather(
                *(made.infer(every, inputs(triton_aio), headers=bearer(callers)) for _ in range(4))
            )

    for answer in asyncio.run(ask()):
        assert "id" not in answer.get_response()
        assert all(same(name, answer.as_numpy(f"out_{name}")) for name in DATATYPES)


def test_only_the_outputs_that_were_asked_for_come_back(
    every: str, client: triton.InferenceServerClient, callers: Callers
) -> None:
    wanted = [
        triton.InferRequestedOutput("out_INT8", binary_data=False),
        triton.InferRequestedOutput("out_BYTES", binary_data=True),
    ]
    answer = client.infer(every, inputs(triton), outputs=wanted, headers=bearer(callers))
    assert {output["name"] for output in answer.get_response()["outputs"]} == {"out_INT8", "out_BYTES"}
    assert answer.as_numpy("out_FP32") is None
    assert all(same(name, answer.as_numpy(f"out_{name}")) for name in ("INT8", "BYTES"))


def test_parameters_of_other_servers_are_tolerated(
    every: str, client: triton.InferenceServerClient, callers: Callers
) -> None:
    answer = client.infer(
        every, inputs(triton), headers=bearer(callers), sequence_id=3, sequence_start=True, priority=1,
        timeout=1_000_000, parameters={"mine": "yes"},
    )  # fmt: skip
    assert same("FP32", answer.as_numpy("out_FP32"))


def test_what_a_raw_buffer_holds_is_the_models_business(
    every: str, client: triton.InferenceServerClient, callers: Callers
) -> None:
    odd = np.array([[np.nan, np.inf, -np.inf], [-0.0, 1, 2]], np.float32)
    given = inputs(triton)
    given[list(DATATYPES).index("FP32")].set_data_from_numpy(odd)
    answer = client.infer(every, given, headers=bearer(callers))
    assert np.array_equal(answer.as_numpy("out_FP32"), odd, equal_nan=True)


def test_refusals_reach_the_client_as_sentences(
    every: str, client: triton.InferenceServerClient, callers: Callers
) -> None:
    wrong = triton.InferInput("in_FP32", [2, 3], "FP64")
    wrong.set_data_from_numpy(values("FP64"))
    shared = triton.InferInput("in_BOOL", [2, 3], "BOOL")
    shared.set_shared_memory("region", 6)
    classes = triton.InferRequestedOutput("out_FP32", class_count=2)
    for given, wanted, said in (
        ([wrong], None, "inputs[0].datatype"),
        ([shared], None, "shared memory"),
        (inputs(triton), [classes], "classification"),
        (inputs(triton)[:-1], None, "'in_BYTES' is missing"),
    ):
        with pytest.raises(InferenceServerException) as caught:
            client.infer(every, given, outputs=wanted, headers=bearer(callers))
        assert caught.value.status() == "400"
        assert said in str(caught.value)
    with pytest.raises(InferenceServerException, match="compressed requests"):
        client.infer(every, inputs(triton), headers=bearer(callers), request_compression_algorithm="gzip")
    with pytest.raises(InferenceServerException, match="API key"):
        client.infer(every, inputs(triton))
