"""Every failure, ours or the framework's, leaves in the same envelope and with the status of its family."""

import asyncio
import importlib
import itertools
import pkgutil
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

import backend.domain as domain_package
from backend.api import errors
from backend.api.front import Front
from backend.api.limits import BODY_BYTES_MAX
from backend.api.request_metrics import RequestMetrics
from backend.api.wire.base import Credits, Id, Number, Tensors, Text, Wire
from backend.domain import errors as domain
from backend.domain.backups import BackupDamaged
from backend.domain.byte_ranges import RangeUnsatisfiable
from backend.domain.coordination import FenceStale
from backend.domain.corrections import FundShort, PayeeShort
from backend.domain.federated.faults import Fault, UpdateRejected
from backend.domain.joint_tasks import JointFailed, TaskState
from backend.domain.payouts import NotEarned
from backend.gateway.errors import Busy, InvalidJson, RateLimited
from backend.gateway.routing.node_client import NodeCircuitOpen
from backend.storage.ids import new_id
from tests.unit.api.serving import serving
from tests.waiting import PATIENCE_S

TRICKLE_MAX = 3_000  # pieces, one every tenth of a second
THINGS = "/api/v1/things"


class Body(Wire):
    amount: Credits | None = None
    name: Text = "x"
    slots: Number = 1
    owner: Id | None = None
    inputs: Tensors | None = None


class Required(Wire):
    name: Text


def fact(kind: type[domain.SwarmexError]) -> domain.SwarmexError:
    """An error of a kind, whatever its constructor asks for."""
    short = domain.InsufficientFunds(new_id(), 2, 1)
    made: dict[type[domain.SwarmexError], domain.SwarmexError] = {
        BackupDamaged: BackupDamaged("file_missing", "there is no dump"),
        FenceStale: FenceStale("audit", 3),
        JointFailed: JointFailed(new_id(), TaskState.FAILED, "a part failed", [(0, "it broke")]),
        NotEarned: NotEarned(short),
        NodeCircuitOpen: NodeCircuitOpen(1.0),
        PayeeShort: PayeeShort(short),
        RangeUnsatisfiable: RangeUnsatisfiable(10),
        UpdateRejected: UpdateRejected(Fault.TRUNCATED, "it ends too early"),
        RateLimited: RateLimited("in_flight", 1, 0.5),
        FundShort: FundShort(short),
        domain.NotFound: domain.NotFound("model", "m"),
        domain.InsufficientFunds: short,
        domain.BudgetExceeded: domain.BudgetExceeded(new_id(), "month", 2, 1, None),
        domain.HoldExceeded: domain.HoldExceeded(new_id(), 2, 1),
        domain.HoldResolved: domain.HoldResolved(new_id(), "posted"),
        domain.ChecksumMismatch: domain.ChecksumMismatch("a", "b"),
    }
    return made.get(kind) or kind("told", field="here", accepted="this")


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    app = FastAPI(docs_url=None, redoc_url=None)
    errors.install(app)

    @app.post(THINGS)
    async def create(body: Body) -> dict[str, Any]:
        return body.model_dump(mode="json")

    @app.post("/api/v1/required")
    async def required(body: Required) -> None: ...

    @app.get("/{face}/fail/{name}")
    async def fail(name: str) -> None:
        if name == "bug":
            raise ZeroDivisionError("a secret detail")
        raise next(fact(kind) for kind in errors.STATUS if kind.__name__ == name)

    @app.get("/api/slow")
    async def slow(request: Request) -> bool:
        await asyncio.sleep(0.3)
        return not await request.is_disconnected()

    @app.post("/v2/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    app.add_middleware(Front, metrics=RequestMetrics())
    with serving(app) as url, httpx.Client(base_url=url, timeout=PATIENCE_S) as http:
        yield http


def families() -> list[type[domain.SwarmexError]]:
    """Every family that the domain defines, and its facts."""
    for module in pkgutil.iter_modules(domain_package.__path__):
        importlib.import_module(f"{domain_package.__name__}.{module.name}")
    found, waiting = [], [domain.SwarmexError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        found.append(kind)
    return [
        kind
        for kind in found
        if kind is not domain.SwarmexError and kind.__module__.startswith(("backend.domain", "backend.gateway"))
    ]


@pytest.mark.parametrize("kind", families(), ids=lambda kind: kind.__name__)
def test_every_error_that_is_raised_on_purpose_has_a_status_of_its_own(
    kind: type[domain.SwarmexError],
) -> None:
    assert 400 <= errors.status_of(fact(kind)) < 500 or isinstance(fact(kind), domain.Unavailable)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("Invalid", 422),
        ("InvalidJson", 400),
        ("TooLarge", 413),
        ("Unauthenticated", 401),
        ("InsufficientFunds", 402),
        ("Forbidden", 403),
        ("NotFound", 404),
        ("Conflict", 409),
        ("Busy", 429),
        ("Unavailable", 503),
    ],
)
def test_a_family_has_its_status_and_the_envelope(client: httpx.Client, kind: str, status: int) -> None:
    response = client.get(f"/api/fail/{kind}")
    assert response.status_code == status
    assert set(response.json()["error"]) == {"code", "message", "field", "accepted"}
    assert ("Retry-After" in response.headers) is (status in (429, 503))
    assert ("WWW-Authenticate" in response.headers) is (status == 401)


def test_the_protocol_face_answers_with_a_sentence_and_the_code_in_a_header(client: httpx.Client) -> None:
    response = client.get("/v2/fail/Conflict")
    assert response.status_code == 409
    assert response.json() == {"error": "here: told (accepted: this)"}
    assert response.headers["Swarmex-Error-Code"] == "conflict"


def test_a_tensor_that_does_not_fit_is_a_bad_request_to_protocol_clients_and_422_to_ours() -> None:
    tensor = domain.InvalidTensor("no")
    assert errors.status_of(tensor) == 422
    assert errors.status_of(tensor, errors.PROTOCOL_STATUS) == 400


def test_a_bug_is_a_500_that_tells_nothing_of_the_inside(client: httpx.Client) -> None:
    response = client.get("/api/fail/bug")
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere/at/all", 404, "unknown_route"),
        ("DELETE", THINGS, 405, "method_not_allowed"),
    ],
)
def test_what_the_framework_refuses_has_the_same_envelope(
    client: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff\xfe{}", b"[" * 100_000, b'{"slots": ' + b"9" * 10_000 + b"}", b'{"name": "a"} trailing'],
    ids=["cut off", "not text", "endless nesting", "endless number", "two values"],
)
def test_what_is_not_json_is_refused_as_such(client: httpx.Client, body: bytes) -> None:
    response = client.post(THINGS, content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_json")


@pytest.mark.parametrize(
    "amount",
    [1.5, 1, 1e20, -1, True, [], {}, "", "abc", "NaN", "Infinity", "1e20", "1e-30", "-1", "+1", " 1", "0", "1,5",
     "0.0000000001", "10000000000", "1000000000.000000001", "\u0661", "1.", ".5", "0x1", "1_0"],
    ids=repr,
)  # fmt: skip
def test_an_amount_that_is_not_a_decimal_string_of_credits_is_refused(client: httpx.Client, amount: object) -> None:
    response = client.post(THINGS, json={"amount": amount})
    problem = response.json()["error"]
    assert (response.status_code, problem["code"], problem["field"]) == (422, "invalid_amount", "amount")
    assert problem["accepted"].startswith("a decimal string of credits")


def test_a_nan_that_python_would_read_is_refused_as_an_amount(client: httpx.Client) -> None:
    response = client.post(THINGS, content=b'{"amount": NaN}', headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_amount")


def test_an_amount_arrives_in_nano_credits(client: httpx.Client) -> None:
    assert client.post(THINGS, json={"amount": "1.000000001"}).json()["amount"] == 1_000_000_001


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"slots": "4"}, "invalid_slots", "slots"),
        ({"slots": 4.5}, "invalid_slots", "slots"),
        ({"slots": True}, "invalid_slots", "slots"),
        ({"slots": 2**31}, "invalid_slots", "slots"),
        ({"slots": 10**30}, "invalid_slots", "slots"),
        ({"slots": None}, "invalid_slots", "slots"),
        ({"name": ""}, "invalid_name", "name"),
        ({"name": "a\x00b"}, "invalid_name", "name"),
        ({"name": "x" * 201}, "invalid_name", "name"),
        ({"name": 5}, "invalid_name", "name"),
        ({"owner": "not-an-id"}, "invalid_owner", "owner"),
        ({"colour": "red"}, "unknown_field", "colour"),
        ({"x" * 5_000: 1}, "unknown_field", "x" * 200),
        ({"inputs": {}}, "invalid_inputs", "inputs"),
        ({"inputs": [{"data": [2**64]}]}, "invalid_tensor", "inputs"),
        ({"inputs": [{"data": ["x" * (1 << 20)]}]}, "too_large", "inputs"),
        ([], "invalid_body", "body"),
        ("text", "invalid_body", "body"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_field_that_cannot_be_right_is_named_with_a_stable_code(
    client: httpx.Client, body: object, code: str, field: str
) -> None:
    response = client.post(THINGS, json=body)
    problem = response.json()["error"]
    assert (response.status_code, problem["code"], problem["field"]) == (422, code, field)
    assert problem["accepted"]


@pytest.mark.parametrize(
    "body",
    [rb'{"name": "\ud800"}', rb'{"inputs": [{"data": ["\ud800"]}]}', rb'{"\ud800": 1}'],
    ids=["in a text", "in a tensor", "as a field"],
)
def test_half_a_character_is_refused_wherever_it_stands(client: httpx.Client, body: bytes) -> None:
    response = client.post(THINGS, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422


def test_a_missing_field_is_named(client: httpx.Client) -> None:
    problem = client.post("/api/v1/required", json={}).json()["error"]
    assert (problem["code"], problem["field"]) == ("missing_field", "name")


def test_a_body_without_its_content_type_is_refused_with_the_one_that_is_accepted(
    client: httpx.Client,
) -> None:
    response = client.post(THINGS, content=b"{}", headers={"Content-Type": "text/plain"})
    problem = response.json()["error"]
    assert (response.status_code, problem["code"]) == (422, "invalid_body")
    assert "application/json" in problem["accepted"]


def test_an_empty_body_is_told_what_is_expected(client: httpx.Client) -> None:
    response = client.post(THINGS, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_body")


@pytest.mark.parametrize("path", [THINGS, "/v2/raw", "/nowhere"])
def test_a_declared_body_above_the_limit_is_refused_before_it_is_read(client: httpx.Client, path: str) -> None:
    response = client.post(path, content=b"x" * (BODY_BYTES_MAX + 1), headers={"Content-Type": "application/json"})
    assert response.status_code == 413
    assert str(BODY_BYTES_MAX) in response.text
    assert response.headers["Connection"] == "close"


@pytest.mark.parametrize("path", [THINGS, "/v2/raw"])
def test_a_chunked_body_is_refused_when_it_passes_the_limit(client: httpx.Client, path: str) -> None:
    chunks = iter([b'{"name": "', *[b"x" * (1 << 20)] * 9, b'"}'])
    response = client.post(path, content=chunks, headers={"Content-Type": "application/json"})
    assert response.status_code == 413


def test_a_body_of_exactly_the_limit_is_read(client: httpx.Client) -> None:
    assert client.post("/v2/raw", content=b"x" * BODY_BYTES_MAX).json() == BODY_BYTES_MAX


def test_json_that_cannot_be_read_is_a_fact_of_its_own() -> None:
    assert issubclass(InvalidJson, domain.Invalid)
    assert issubclass(Busy, domain.Unavailable)


@pytest.mark.parametrize("path", [THINGS, "/v2/raw"])
def test_a_body_that_trickles_in_is_given_up(client: httpx.Client, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr("backend.api.exchange.BODY_TIMEOUT_S", 0.3)

    sent = itertools.count()

    def trickle() -> Iterator[bytes]:
        while next(sent) < TRICKLE_MAX:
            yield b" "
            time.sleep(0.1)

    try:
        response = client.post(path, content=trickle(), headers={"Content-Type": "application/json"})
        assert response.status_code == 408
    except httpx.WriteError:
        pass  # the server answered and hung up while we still sent
    assert next(sent) < TRICKLE_MAX, "it was not read to its end"


def test_a_request_without_a_body_may_take_its_time(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.api.exchange.BODY_TIMEOUT_S", 0.1)
    assert client.get("/api/slow").status_code == 200
