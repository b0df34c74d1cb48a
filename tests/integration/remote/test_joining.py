"""Tokens let one machine in, once, within their time; a node's key opens the node's own routes and no others."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from agents.remote_port import KeyRefused
from backend.api.node_side import REFUSALS_MAX, REFUSALS_PER_ADDRESS_MAX, REFUSED_WITHIN_S, Refusals
from backend.bootstrap import utc_now
from backend.domain.access import Role
from backend.domain.errors import Conflict, Invalid, NotFound
from backend.domain.joining import OPEN_TOKENS_MAX, TokenWish
from backend.gateway.errors import Busy
from backend.services import api_keys, joining, log
from tests.integration.api.callers import Client, problem
from tests.integration.api.counting import rows
from tests.integration.api.route_table import NODE_ROUTES, ROUTES
from tests.integration.remote.nodes import Remote
from tests.waiting import until

REFUSED = (401, "join_token_refused", "token")


def test_a_token_lets_one_machine_in_as_the_token_says(remote: Remote) -> None:
    token = remote.token(slots_max=2, name="attic")
    hardware = {"cores": 8, "memory_mb": 4096, "gpu_model": "a100", "gpu_memory_mb": 1024, "accelerators": 1}
    told = remote.ask_to_join(token, "mine", slots=8, **hardware)
    assert told.status_code == 201
    node = told.json()["node"]
    assert (node["name"], node["slots"], node["resource_class"], node["region"]) == ("attic", 2, "fog", "north")
    assert {name: node[name] for name in hardware} == hardware
    assert (node["account"], node["alive"], node["ask"]) == (str(remote.market.provider.account_id), False, None)


def test_a_used_an_expired_and_a_forged_token_are_refused_alike(remote: Remote) -> None:
    used, expired = remote.token(), remote.token()
    assert remote.ask_to_join(used).status_code == 201
    with remote.market.app.engine.begin() as connection:
        past = {"then": utc_now() - timedelta(days=2)}
        statement = (
            "UPDATE join_tokens SET created_at = :then, expires_at = :then + interval '1 h' WHERE used_at IS NULL"
        )
        connection.execute(text(statement), past)
    before = rows(remote.market.app)
    answers = [remote.ask_to_join(token, "other") for token in (used, expired, "swj_forged", "x")]
    assert {problem(answer) for answer in answers} == {REFUSED}
    assert len({answer.text for answer in answers}) == 1
    assert rows(remote.market.app) == before


def test_a_name_that_is_taken_leaves_the_token_good(remote: Remote) -> None:
    remote.join("attic")
    token = remote.token()
    assert problem(remote.ask_to_join(token, "attic")) == (409, "node_exists", "name")
    assert remote.ask_to_join(token, "cellar").status_code == 201


def test_who_guesses_tokens_is_soon_not_answered_any_more(remote: Remote) -> None:
    for _ in range(REFUSALS_PER_ADDRESS_MAX):
        assert problem(remote.ask_to_join("swj_guess")) == REFUSED
    good = remote.token()
    told = remote.ask_to_join(good)
    assert (told.status_code, told.json()["error"]["code"]) == (429, "too_many_attempts")
    assert "Retry-After" in told.headers


def test_a_crowd_that_guesses_is_held_up_together() -> None:
    refusals = Refusals(lambda: 0.0)
    for number in range(REFUSALS_MAX):
        refusals.check(f"address {number}")
        refusals.refused(f"address {number}")
    with pytest.raises(Busy):
        refusals.check("one more")


def test_patience_with_an_address_comes_back_after_a_minute() -> None:
    clock = [0.0]
    refusals = Refusals(lambda: clock[0])
    for _ in range(REFUSALS_PER_ADDRESS_MAX):
        refusals.check("a")
        refusals.refused("a")
    refusals.check("b")
    with pytest.raises(Busy):
        refusals.check("a")
    clock[0] = REFUSED_WITHIN_S + 1
    refusals.check("a")


def test_an_account_has_so_many_open_tokens_and_expired_ones_do_not_count(remote: Remote) -> None:
    uow, now, account = remote.market.app.uow, utc_now(), remote.market.provider.account_id
    wish = TokenWish("fog", "north", life=timedelta(minutes=1))
    for _ in range(OPEN_TOKENS_MAX):
        joining.create_token(uow(), now, account, wish)
    with pytest.raises(Conflict, match="tokens are open"):
        joining.create_token(uow(), now, account, wish)
    later = now + timedelta(minutes=2)
    joining.create_token(uow(), later, account, wish)
    assert len(joining.list_tokens(uow(), later, account)) == 1


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (TokenWish("toaster", "north"), "resource_class"),
        (TokenWish("fog", "The Moon"), "region"),
        (TokenWish("fog", "north", 0), "slots_max"),
        (TokenWish("fog", "north", 1, "Not A Name"), "name"),
        (TokenWish("fog", "north", life=timedelta(days=8)), "expires_s"),
        (TokenWish("fog", "north", life=timedelta(0)), "expires_s"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused_and_nothing_written(
    remote: Remote, wish: TokenWish, field: str
) -> None:
    before = rows(remote.market.app)
    with pytest.raises(Invalid) as refused:
        joining.create_token(remote.market.app.uow(), utc_now(), remote.market.provider.account_id, wish)
    assert refused.value.field == field
    assert rows(remote.market.app) == before


def test_secrets_are_in_no_table_and_not_in_the_log(remote: Remote) -> None:
    token = remote.token()
    key = remote.ask_to_join(token).json()["key"]
    with remote.market.app.engine.connect() as connection:
        kept = connection.execute(text("SELECT t::text FROM join_tokens t UNION ALL SELECT k::text FROM node_keys k"))
        tables = "\n".join(kept.scalars())
    told = log.list_entries(remote.market.app.uow(), limit=50)
    assert {"node.token", "node.join"} <= {entry.action for entry in told}
    for secret in (token, key):
        assert secret not in tables
        assert secret not in str(told)


def test_a_nodes_key_opens_no_route_but_its_own(remote: Remote, subtests: pytest.Subtests) -> None:
    node = remote.join()
    before = rows(remote.market.app)
    assert len(ROUTES) > 80
    for route in ROUTES:
        if route.role is None:
            continue
        with subtests.test(str(route)):
            assert route.ask(node.http).status_code == 401
    for path in ("/v2/models/doubling/infer", "/v2/models/doubling"):
        with subtests.test(path):
            assert node.http.post(path, json={"inputs": []}).status_code in (401, 404, 405)
    assert rows(remote.market.app) == before


def test_the_nodes_own_routes_open_to_a_nodes_key_alone(remote: Remote, subtests: pytest.Subtests) -> None:
    market = remote.market
    remote.join()
    before = rows(market.app)
    assert len(NODE_ROUTES) == 19
    for role in Role:
        account = market.account(f"some-{role}")
        key = api_keys.create_key(market.app.uow(), utc_now(), account.account_id, role)
        before = rows(market.app)
        with Client(remote.url, account.account_id, key) as client:
            for route in NODE_ROUTES:
                with subtests.test(f"{role} {route}"):
                    assert route.ask(client).status_code == 401
    for route in NODE_ROUTES:
        with subtests.test(f"stranger {route}"):
            assert route.ask(remote.http).status_code == 401
    assert rows(market.app) == before


def test_a_revoked_key_opens_nothing_and_the_offer_is_withdrawn(remote: Remote) -> None:
    node, market = remote.join(), remote.market
    assert joining.revoke_node_keys(market.app.uow(), utc_now(), node.id, market.provider) == 1
    until(lambda: node.http.get("/api/v1/node").status_code == 401, "it is refused")
    refused: list[bool] = []
    node.port._on_refused = lambda: refused.append(True)
    with pytest.raises(KeyRefused):
        node.beat()
    assert refused
    with market.app.engine.connect() as connection:
        assert connection.execute(text("SELECT state FROM offers")).scalar_one() == "withdrawn"


def test_only_a_nodes_owner_and_admins_revoke_its_keys(remote: Remote) -> None:
    node, market = remote.join(), remote.market
    with pytest.raises(NotFound):
        joining.revoke_node_keys(market.app.uow(), utc_now(), node.id, market.account("somebody"))
    assert node.http.get("/api/v1/node").status_code == 200


def test_two_machines_with_one_token_at_once_are_one_node(remote: Remote) -> None:
    from concurrent.futures import ThreadPoolExecutor

    token = remote.token()
    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(lambda number: remote.ask_to_join(token, f"n{number}").status_code, range(4)))
    assert sorted(told) == [201, 401, 401, 401]


def test_a_node_tells_of_other_parts_whenever_it_starts(remote: Remote) -> None:
    node, market = remote.join(cores=2), remote.market
    found = {"cores": 8, "memory_mb": 4096, "gpu_model": "l4", "gpu_memory_mb": 1024, "accelerators": 1}
    for _ in range(2):
        told = node.http.post("/api/v1/node/hardware", json={"version": 1, **found})
        assert told.status_code == 200
        assert {name: told.json()[name] for name in found} == found
    entries = log.list_entries(market.app.uow(), subject=f"node {node.id}", action="node.hardware")
    assert len(entries) == 1, "what is as it was is no news"
    before = rows(market.app)
    wrong = node.http.post("/api/v1/node/hardware", json={"version": 1, "cores": 8, "gpu_model": "l4"})
    assert problem(wrong) == (422, "contradictory_hardware", "accelerators")
    assert problem(node.http.post("/api/v1/node/hardware", json={"version": 9})) == (422, "unknown_version", "version")
    assert rows(market.app) == before


def test_a_node_offers_and_drains_itself_over_http(remote: Remote) -> None:
    node = remote.join(ask=2_000_000)
    shown = node.http.get("/api/v1/node").json()
    assert (UUID(shown["id"]), shown["ask"], shown["alive"]) == (node.id, "0.002000000", True)
    node.port.leave()
    shown = node.http.get("/api/v1/node").json()
    assert (shown["state"], shown["ask"]) == ("draining", None)
