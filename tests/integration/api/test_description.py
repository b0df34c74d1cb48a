"""What the OpenAPI description allows, and what it does not, is sent to every route: nothing ends in a 5xx.

Requests are generated from the description by schemathesis, always the same ones, and name things that there are.
"""

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode

from backend.api.app import create_app
from backend.bootstrap import utc_now
from backend.domain.access import Role
from backend.domain.joining import PROTOCOL
from backend.domain.mail import MailedAnswer, pack_answers
from backend.domain.uploads import digest_header
from backend.services import api_keys
from tests.integration.api import right_bodies
from tests.integration.api.callers import TIMEOUT_S
from tests.integration.api.route_table import CLOUD_EVENT, NODE_ROUTES, ROUTES
from tests.integration.api.supply import Supply
from tests.integration.api.test_privacy import _things as things
from tests.integration.remote.nodes import Remote
from tests.integration.services.usage import METER
from tests.market import Market
from tests.training import TRAINER
from tests.unit.api.serving import serving

EXAMPLES = {GenerationMode.POSITIVE: 3, GenerationMode.NEGATIVE: 2}
SPOILT = 10  # of each right body
SEED = 6
# What a market with one node cannot do at the moment, and says so: that is no error of the server's.
NOT_NOW = {"no_capacity", "node_busy", "node_failed", "order_rejected", "session_wait"}
UNDESCRIBED = {"/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"}  # pages, and the description itself
WORDS = {
    "resource_class": "cloud",
    "region": "eu-1",
    "other": "north",
    "name": "doubling",
    "model": "doubling",
    "version": "1",
    "alias": "best",
    "number": "1",
    "trainer": TRAINER,
}
FIELDS = {  # of bodies and queries that name things
    "account": "account_id",
    "order": "order_id",
    "node": "node_id",
    "member": "member_id",
    "input_file_id": "file_id",
    "model": "model",
    "trainer": "trainer",
    "subject": "account_id",
    "after": "batch_id",
}
Operation = APIOperation[Any, Any, Any, Any]
ORDER = ("GET", "POST", "PUT", "DELETE")  # what takes things away comes last


@dataclass(frozen=True)
class Town:
    """A market with something of everything, the API before it, and the keys of an admin and of a remote node."""

    url: str
    api: FastAPI
    ids: dict[str, str]
    admin: str
    node: str
    agent: str

    def key_for(self, path: str) -> str:
        """Whose key a path wants."""
        return self.node if path == "/api/v1/node" or path.startswith("/api/v1/node/") else self.admin


@pytest.fixture
def town(database_url: str, node_database_url: str, redis_url: str, namespace: str, tmp_path: Path) -> Iterator[Town]:
    market = Market(database_url, node_database_url, redis_url, namespace, tmp_path / "data")
    ids = WORDS | {name: str(value) for name, value in things(market).items()}
    operator, now = market.account("operator").account_id, utc_now()
    admin = api_keys.create_key(market.app.uow(), now, operator, Role.ADMIN)
    spare = api_keys.create_key(market.app.uow(), now, market.buyer.account_id, Role.USER)
    api = create_app(market.app)
    with serving(api) as url, Supply(market.app, market.provider.account_id, tmp_path / "node"):
        remote = Remote(market, url)
        node = remote.join()
        yield Town(url, api, ids | {"key_id": str(spare.key_id)}, admin.secret, node.key, str(node.agent_id))
        remote.close()
    market.close()


def operations(api: FastAPI) -> list[Operation]:
    """All that the description has."""
    described = schemathesis.openapi.from_dict(deepcopy(api.openapi()))
    found: list[Operation] = [one.ok() for one in described.get_all_operations()]  # type: ignore[union-attr]  # or it fails
    return sorted(found, key=lambda one: (ORDER.index(one.method.upper()), one.path))


def test_nothing_that_is_sent_ends_in_a_5xx(town: Town, subtests: pytest.Subtests) -> None:
    described = {operation.label for operation in operations(town.api)}
    assert {str(route) for route in (*ROUTES, *NODE_ROUTES) if route.path not in UNDESCRIBED} <= described
    assert {label for label in described if "/v2" in label} >= {"POST /v2/models/{model}/infer", "GET /v2"}
    answered: Counter[int] = Counter()
    with requests.Session() as session:
        for operation in operations(town.api):
            for mode, examples in EXAMPLES.items():
                with subtests.test(f"{operation.label} {mode.value}"):
                    answered += _sent(town, session, operation, mode, examples)
    assert sum(answered.values()) > 700
    assert sum(count for status, count in answered.items() if status < 300) > 150, "seeds let them through"
    assert answered[429] == 0


def test_no_value_in_a_right_request_brings_the_server_down(town: Town, subtests: pytest.Subtests) -> None:
    chance, right = random.Random(SEED), Counter[int]()
    methods = {operation.path: operation.method.upper() for operation in operations(town.api) if operation.body}
    assert set(methods) >= set(right_bodies.BODIES)
    headers = {"/api/v1/usage": CLOUD_EVENT} | {
        path: {"Swarmex-Limit": "0.002"} for path in methods if path[:3] == "/v2"
    }
    with requests.Session() as session:
        for path, template in right_bodies.BODIES.items():
            body = right_bodies.filled(template, {**town.ids, "agent": town.agent})
            spots = list(right_bodies.places(body))
            values = [(chance.choice(spots), chance.choice(right_bodies.STRANGE)) for _ in range(SPOILT)]
            sent = [body, *(right_bodies.spoilt(body, *one) for one in values)]
            for number, content in enumerate(sent):
                with subtests.test(f"{path} {values[number - 1] if number else 'right'}"[:200]):
                    told = {"Content-Type": "application/json", "Authorization": f"Bearer {town.key_for(path)}"}
                    answer = session.request(
                        methods[path],
                        town.url + _filled(town, path),
                        data=json.dumps(content),
                        headers=told | headers.get(path, {}),
                        timeout=TIMEOUT_S,
                    )
                    late = answer.status_code == 503 and _code(answer) in NOT_NOW
                    assert answer.status_code < 500 or late, (answer.text[:500], content)
                    right[answer.status_code] += number == 0
    assert sum(count for status, count in right.items() if status < 300) > len(right_bodies.BODIES) // 2


def _filled(town: Town, path: str) -> str:
    ids = town.ids | ({"name": "small"} if "/tiers/" in path else {"name": METER} if "/meters/" in path else {})
    return re.sub(r"{(\w+)}", lambda found: ids[found[1]], path)


def _sent(
    town: Town, session: requests.Session, operation: Operation, mode: GenerationMode, examples: int
) -> Counter[int]:
    """The statuses of so many requests to an operation."""
    statuses: Counter[int] = Counter()

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), real=st.sampled_from([True, True, True, False]))
    def send(case: "Case[Any]", real: bool) -> None:
        if real:
            _name_what_there_is(town, case)
        key = town.key_for(operation.path)
        answer = session.request(**_as_sent(town, case, key), timeout=TIMEOUT_S)
        statuses[answer.status_code] += 1
        late = answer.status_code == 503 and _code(answer) in NOT_NOW
        assert answer.status_code < 500 or late, (answer.status_code, answer.text[:500], case.as_curl_command())

    try:
        send()
    except Unsatisfiable:  # an operation without anything that could be wrong
        assert mode is GenerationMode.NEGATIVE
    return statuses


def _name_what_there_is(town: Town, case: "Case[Any]") -> None:
    """Ids of things that exist, wherever the request names a thing."""
    for name in case.path_parameters or {}:
        case.path_parameters[name] = town.ids.get(name, case.path_parameters[name])
    if case.path.startswith("/api/v1/tiers/"):
        case.path_parameters["name"] = "small"
    for holder in (case.body, case.query):
        if isinstance(holder, dict):
            holder |= {name: town.ids[FIELDS[name]] for name in holder if name in FIELDS}
            if "agent" in holder and "version" in holder:
                holder |= {"agent": town.agent, "version": PROTOCOL}


def _as_sent(town: Town, case: "Case[Any]", key: str) -> dict[str, Any]:
    """The request, with a key; polls do not wait, and bodies that are not JSON are what their routes read."""
    if (
        isinstance(case.body, dict)
        and case.path.endswith("/poll")
        and isinstance(case.body.get("wait_s", 0), int | float)
    ):
        case.body["wait_s"] = 0
    told = case.as_transport_kwargs(base_url=town.url)
    told["headers"] = {**dict(told.get("headers") or {}), "Authorization": f"Bearer {key}"}
    told.pop("cookies", None)
    if case.path.endswith("/uploads/{upload_id}") and case.method.upper() == "PUT":
        data = told["data"] if isinstance(told.get("data"), bytes) else b"x"
        told |= {"data": data}
        told["headers"]["Content-Digest"] = digest_header(hashlib.sha256(data).hexdigest())
    if case.path.endswith("/work/requests/answer") and case.body != b"":
        told["data"] = pack_answers([MailedAnswer("0" * 32, 200, None, 1, b"{}")])
    return told


def _code(answer: requests.Response) -> str:
    told = answer.headers.get("Swarmex-Error-Code")
    if told is None:
        told = answer.json()["error"]["code"]
    return str(told)
