"""Limits of keys over HTTP: headers on every answer, 429 in the words of each face, and changes that soon count."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from backend.api.app import create_app
from backend.bootstrap import Swarmex, utc_now
from backend.domain.access import Role
from backend.domain.rates import BYTES_PER_TOKEN, DEFAULTS, Face
from backend.services import api_keys
from tests.integration.api.callers import Callers, Client, problem
from tests.integration.api.lab import with_secret
from tests.integration.api.requests import body
from tests.integration.api.slow_node import SlowNode
from tests.integration.api.supply import Supply
from tests.unit.api.serving import serving
from tests.waiting import PATIENCE_S, eventually, until

ME = "/api/v1/accounts/me"
INFER = "/v2/models/scale/infer"
HEADERS = {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "ratelimit-policy"}


def limit(callers: Callers, client: Client, **limits: int) -> None:
    """Set a key's limits, and wait until the gateway keeps to them."""
    answer = callers.admin.put(f"/api/v1/keys/{client.key.key_id}/limits", json=limits)
    assert answer.status_code == 200, answer.text
    [wanted] = [face for face in answer.json()["faces"] if face["face"] == "api"]
    told = f"{wanted['requests_per_minute']};w=60, {wanted['tokens_per_minute']};w=60"
    assert eventually(lambda: client.get("/api/v1/orders").headers["ratelimit-policy"].startswith(told))


def told(response: httpx.Response) -> dict[str, int]:
    """The three figures of the headers."""
    return {name: int(response.headers[f"ratelimit-{name}"]) for name in ("limit", "remaining", "reset")}


def test_every_answer_to_a_known_caller_tells_what_is_left(callers: Callers, supply: Supply) -> None:
    first = callers.user.get(ME)
    assert told(first)["limit"] == DEFAULTS[Face.API].requests_per_minute
    assert first.headers["ratelimit-policy"] == '120000;w=60, 6000000;w=60;comment="tokens"'
    refused = callers.user.get("/api/v1/orders/nothing")
    assert refused.status_code == 422
    assert told(refused)["remaining"] <= told(first)["limit"]
    served = callers.user.post(INFER, json=body(), headers={"Swarmex-Tier": "large"})
    assert served.status_code == 200
    assert told(served)["limit"] == DEFAULTS[Face.LARGE].requests_per_minute
    assert not HEADERS & set(callers.stranger.get(ME).headers)
    assert not HEADERS & set(callers.stranger.get("/health/live").headers)


def test_above_its_limit_a_key_is_refused_in_the_envelope_with_the_time_to_wait(callers: Callers) -> None:
    limit(callers, callers.user, requests_per_minute=20)
    answers = [callers.user.get(ME) for _ in range(25)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert {problem(answer) for answer in refused} == {(429, "rate_limited", "requests_per_minute")}
    assert refused[0].json()["error"]["accepted"] == "at most 20"
    assert 1 <= int(refused[0].headers["Retry-After"]) <= 3
    assert told(refused[0])["limit"] == 20
    assert told(refused[0])["remaining"] == 0
    assert 1 <= told(refused[0])["reset"] <= 60
    assert callers.admin.get(ME).status_code == 200, "another's limit is another's"


def test_on_the_protocol_face_the_same_refusal_is_a_sentence_with_its_code_in_a_header(
    callers: Callers, supply: Supply
) -> None:
    assert callers.user.post(INFER, json=body()).status_code == 200
    limit(callers, callers.user, requests_per_minute=2)
    answers = [callers.user.post(INFER, json=body()) for _ in range(4)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[0].json() == {"error": "requests_per_minute: too many requests (accepted: at most 2)"}
    assert refused[0].headers["Swarmex-Error-Code"] == "rate_limited"
    assert int(refused[0].headers["Retry-After"]) >= 1
    assert told(refused[0])["limit"] == 2


def test_a_body_that_costs_more_tokens_than_a_minute_has_is_too_large_and_a_few_in_a_row_too_many(
    callers: Callers,
) -> None:
    limit(callers, callers.user, tokens_per_minute=40)
    large = {"name": "x" * 41 * BYTES_PER_TOKEN}
    assert problem(callers.user.post("/api/v1/organisations", json=large)) == (
        413,
        "tokens_above_limit",
        "tokens_per_minute",
    )
    some = b"x" * 15 * BYTES_PER_TOKEN
    answers = [callers.user.post("/api/v1/organisations", content=iter([some])) for _ in range(4)]  # in chunks
    assert problem(answers[-1]) == (429, "rate_limited", "tokens_per_minute")
    assert told(answers[-1])["limit"] == 40


def test_so_many_requests_of_a_key_are_under_way_at_once_and_no_more(callers: Callers, supply: Supply) -> None:
    with SlowNode() as slow, ThreadPoolExecutor(2) as pool:
        supply.endpoint = slow.endpoint
        supply.beat()
        limit(callers, callers.user, in_flight=2)
        waiting = [pool.submit(callers.user.post, INFER, json=body()) for _ in range(2)]
        for _ in waiting:
            assert slow.arrived.acquire(timeout=PATIENCE_S)
        surplus = callers.user.post(INFER, json=body())
        assert (surplus.status_code, surplus.headers["Swarmex-Error-Code"]) == (429, "rate_limited")
        assert surplus.json()["error"].startswith("in_flight: ")
        slow.may_answer.set()
        assert {future.result().status_code for future in waiting} == {200}
        assert eventually(lambda: callers.user.post(INFER, json=body()).status_code == 200)


def test_a_key_has_one_limit_at_two_servers(callers: Callers, market: Swarmex) -> None:
    limit(callers, callers.user, requests_per_minute=30)
    made = api_keys.create_key(market.uow(), utc_now(), callers.user.account_id, Role.USER)
    here = with_secret(callers.user, made.secret)
    callers.admin.put(f"/api/v1/keys/{made.key_id}/limits", json={"requests_per_minute": 30})
    with serving(create_app(market)) as address:
        there = Client(address, callers.user.account_id, made)
        started = time.monotonic()
        codes = [client.get(ME).status_code for _ in range(30) for client in (here, there)]
        assert 429 in codes[30:]
        assert 30 <= codes.count(200) <= 30 + 30 * (time.monotonic() - started) / 60


def test_who_guesses_keys_is_not_looked_up_any_more_and_known_keys_work_on(
    callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.rates.guesses.GUESSES_PER_MINUTE", 5)
    assert callers.user.get(ME).status_code == 200
    guesses = [callers.stranger.get(ME, headers={"Authorization": f"Bearer swx_{n}"}) for n in range(20)]
    assert [guess.status_code for guess in guesses[:5]] == [401] * 5
    refused = [guess for guess in guesses if guess.status_code != 401]
    assert {problem(guess) for guess in refused} == {(429, "rate_limited", "Authorization")}
    assert int(refused[0].headers["Retry-After"]) >= 1
    # News that this key was made may come late, and make the gateway forget it: it is looked up with the next guess.
    until(lambda: callers.user.get(ME).status_code == 200, "the key is known")
    again = [callers.stranger.get(ME, headers={"Authorization": f"Bearer swx_again{n}"}) for n in range(3)]
    assert again[-1].status_code == 429
    assert callers.user.get(ME).status_code == 200


def test_an_owner_limits_a_key_of_theirs_and_sees_what_counts(callers: Callers) -> None:
    path = f"/api/v1/keys/{callers.user.key.key_id}/limits"
    before = callers.user.get(path).json()
    made = callers.user.put(path, json={"requests_per_minute": 5_000, "in_flight": 9}).json()
    assert made["owner"] == {"requests_per_minute": 5_000, "tokens_per_minute": None, "in_flight": 9}
    assert callers.user.get(path).json() == made
    assert {face["in_flight"] for face in made["faces"]} == {9}
    assert problem(callers.user.put(path, json={"in_flight": 5_000})) == (422, "invalid_in_flight", "in_flight")
    assert problem(callers.user.put(path, json={})) == (422, "no_limit_given", "limits")
    assert callers.user.delete(path).json() == before
    assert problem(callers.user.delete(path)) == (404, "unknown_key_limits", "key")
    assert problem(callers.provider.get(path)) == (404, "unknown_key", "key")


def test_the_metrics_tell_what_was_refused_by_which_limit(callers: Callers) -> None:
    limit(callers, callers.user, requests_per_minute=1)
    assert eventually(lambda: callers.user.get(ME).status_code == 429)
    lines = callers.admin.get("/metrics").text.splitlines()
    [refused] = [
        line for line in lines if line.startswith('swarmex_rate_refused_total{face="api",limit="requests_per_minute"}')
    ]
    assert float(refused.split()[-1]) >= 1
    assert "swarmex_rate_alone 0.0" in lines
