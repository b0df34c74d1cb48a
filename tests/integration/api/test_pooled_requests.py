"""Real-time requests of tier small: on a node that all users share, paid one by one out of what is held already."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from backend.bootstrap import Swarmex, utc_now
from backend.domain.access import Principal, Role
from backend.domain.allowances import BLOCK_REQUESTS
from backend.domain.ids import AccountId
from backend.domain.ledger import AccountKind
from backend.domain.money import charge_nano, parse_credits
from backend.domain.orders import REQUESTS
from backend.services import audit, deposits, models, nodes, orders, sessions
from backend.services.receipts import receipt
from backend.storage.order_rows import Order
from tests.integration.api.callers import Callers, Client, problem
from tests.integration.api.faulty_node import BREAKS, FAILS, SENDS_GARBAGE, FaultyNode
from tests.integration.api.lab import person
from tests.integration.api.once import application
from tests.integration.api.requests import body
from tests.integration.api.slow_node import SlowNode
from tests.integration.api.supply import ASK_NANO, Supply
from tests.unit.api.serving import serving
from tests.waiting import until

INFER = "/v2/models/scale/infer"
SMALL = {"Swarmex-Tier": "small"}


@pytest.fixture
def fog(market: Swarmex, callers: Callers, tmp_path: Path) -> Iterator[Supply]:
    """One fog node that is offered and alive, and an allocation that clears whatever is placed."""
    with Supply(market, callers.provider.account_id, tmp_path / "node", kind="fog") as running:
        yield running
    report = audit.audit_ledger(market.uow())
    assert report.ok, report.differences


def most_nano(market: Swarmex, rows: int = 1) -> int:
    """What a request may cost at most."""
    return charge_nano(ASK_NANO, models.get_model(market.uow(), "scale").profile.worst_case_us(rows))


def asked(client: Client, requests: int) -> Sequence[httpx.Response]:
    """So many requests, eight at a time, all answered well."""
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: client.post(INFER, json=body(), headers=SMALL), range(requests)))
    assert {answer.status_code for answer in answers} == {200}, answers[0].text
    return answers


def owner_of(client: Client) -> Principal:
    return Principal(None, client.account_id, Role.USER)


def charges(answers: Sequence[httpx.Response]) -> int:
    return sum(parse_credits(answer.headers["Swarmex-Charge"], zero=True) for answer in answers)


def allowances_of(market: Swarmex, account: AccountId) -> list[Order]:
    return [order for order in orders.list_orders(market.uow(), account) if order.workload == REQUESTS]


def charged(market: Swarmex, account: AccountId) -> int:
    """What the coordinator has heard of and charged."""
    return sum(order.charged_nano for order in allowances_of(market, account))


def test_a_request_is_answered_by_a_shared_node_and_says_what_it_cost(
    callers: Callers, fog: Supply, market: Swarmex
) -> None:
    [answer] = asked(callers.user, 1)
    assert answer.json()["outputs"][0]["name"] == "y"
    assert answer.headers["Swarmex-Node"] == fog.node.name
    assert parse_credits(answer.headers["Swarmex-Price"]) == ASK_NANO
    assert 0 < charges([answer]) <= most_nano(market)
    assert charges(asked(callers.user, 1)) <= most_nano(market)  # of the request, not so far


def test_users_share_a_lease_and_each_pays_exactly_what_the_answers_said(
    callers: Callers, fog: Supply, market: Swarmex
) -> None:
    other = person(market, callers.user, "other")
    deposits.deposit(market.uow(), utc_now(), other.account_id, 10**9, "other's money")
    answers = {client: asked(client, 40) for client in (callers.user, other)}
    assert len({answer.headers["Swarmex-Lease"] for told in answers.values() for answer in told}) == 1
    for client, told in answers.items():
        until(lambda: charged(market, client.account_id) == charges(told), "it is reported")  # noqa: B023  at once
        [order] = allowances_of(market, client.account_id)
        [line] = receipt(market.uow(), order.id, owner_of(client)).served
        assert (line.items, str(line.lease_id)) == (40, told[0].headers["Swarmex-Lease"])
        assert client.get("/api/v1/accounts/me").json()["reserved"] != "0.000000000"
        told_of = client.get("/api/v1/ledger/requests-statement").json()
        assert (told_of["requests"], parse_credits(told_of["charge"])) == (40, charges(told))
    with market.uow() as uow:
        earned = uow.ledger.balances_of(callers.provider.account_id)[AccountKind.EARNINGS].posted_nano
    assert 0.9 * sum(map(charges, answers.values())) <= earned < sum(map(charges, answers.values()))


def test_at_the_end_of_the_process_all_is_reported_and_slots_and_money_are_free(
    callers: Callers, fog: Supply, market: Swarmex
) -> None:
    with serving(application(market)) as address, Client(address, callers.user.account_id, callers.user.key) as client:
        spent = charges(asked(client, 5))
    assert charged(market, callers.user.account_id) == spent
    sessions.settle_windows(market.uow(), utc_now())
    assert [order.state for order in allowances_of(market, callers.user.account_id)] == ["settled"]
    assert callers.user.get("/api/v1/accounts/me").json()["reserved"] == "0.000000000"
    assert [node.busy_slots for node in nodes.list_nodes(market.uow(), utc_now(), None)] == [0]


def test_an_idle_lease_is_given_back_and_taken_anew(
    callers: Callers, fog: Supply, market: Swarmex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.leases.session.IDLE_S", 0.5)
    [first] = asked(callers.user, 1)
    until(lambda: nodes.list_nodes(market.uow(), utc_now(), None)[0].busy_slots == 0, "its slot is free")
    [second] = asked(callers.user, 1)
    assert first.headers["Swarmex-Lease"] != second.headers["Swarmex-Lease"]


def test_who_has_no_money_is_not_served_and_others_are(callers: Callers, fog: Supply, market: Swarmex) -> None:
    poor = person(market, callers.user, "poor")
    refused = poor.post(INFER, json=body(), headers=SMALL)
    assert (refused.status_code, refused.headers["Swarmex-Error-Code"]) == (402, "insufficient_funds")
    asked(callers.user, 1)


@pytest.mark.parametrize("headers", [SMALL, {**SMALL, "Swarmex-Limit": "0.000000001"}])
def test_who_does_not_pay_takes_no_slot_from_others(
    callers: Callers, fog: Supply, market: Swarmex, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    monkeypatch.setattr("backend.gateway.leases.session.IDLE_S", 3_600)
    assert person(market, callers.user, "poor").post(INFER, json=body(), headers=headers).status_code in (402, 409)
    until(lambda: nodes.list_nodes(market.uow(), utc_now(), None)[0].busy_slots == 0, "its slot is free")


def test_a_limit_below_the_price_is_refused_and_nothing_is_held(callers: Callers, fog: Supply, market: Swarmex) -> None:
    refused = callers.user.post(INFER, json=body(), headers={**SMALL, "Swarmex-Limit": "0.000000001"})
    assert (refused.status_code, refused.headers["Swarmex-Error-Code"]) == (409, "limit_below_session_price")
    assert allowances_of(market, callers.user.account_id) == []


def test_a_request_whose_client_left_costs_nothing(callers: Callers, fog: Supply, market: Swarmex) -> None:
    [answer] = asked(callers.user, 1)
    until(lambda: charged(market, callers.user.account_id) == charges([answer]), "it is reported")
    with SlowNode() as slow:
        fog.endpoint = slow.endpoint
        fog.beat()
        with (
            serving(application(market)) as address,
            Client(address, callers.user.account_id, callers.user.key) as client,
        ):
            slow.leave(client, INFER, body(), SMALL)
            assert slow.hung_up.wait(60)
    assert charged(market, callers.user.account_id) == charges([answer])


@pytest.mark.parametrize("behaviour", [FAILS, SENDS_GARBAGE, BREAKS])
def test_a_request_that_its_node_fails_costs_nothing(
    callers: Callers, fog: Supply, market: Swarmex, behaviour: str
) -> None:
    with FaultyNode() as broken:
        broken.behaviour = behaviour
        fog.endpoint = broken.endpoint
        fog.beat()
        with (
            serving(application(market)) as address,
            Client(address, callers.user.account_id, callers.user.key) as client,
        ):
            assert client.post(INFER, json=body(), headers=SMALL).status_code == 503
    assert [order.charged_nano for order in allowances_of(market, callers.user.account_id)] == [0]


def test_what_is_held_is_a_block_and_no_more_than_the_wallet_has(
    callers: Callers, fog: Supply, market: Swarmex
) -> None:
    frugal = person(market, callers.user, "frugal")
    deposits.deposit(market.uow(), utc_now(), frugal.account_id, 3 * most_nano(market) + 1, "little")
    for client, requests in ((callers.user, BLOCK_REQUESTS), (frugal, 3)):
        asked(client, 1)
        reserved = parse_credits(client.get("/api/v1/accounts/me").json()["reserved"])
        assert requests * most_nano(market) - most_nano(market) <= reserved <= requests * most_nano(market)


def test_there_is_no_sla_in_tier_small_and_no_node_of_other_classes(callers: Callers, supply: Supply) -> None:
    promised = callers.user.post(INFER, json=body(), headers={**SMALL, "Swarmex-SLA": "true"})
    assert (promised.status_code, promised.headers["Swarmex-Error-Code"]) == (422, "sla_not_offered")
    elsewhere = callers.user.post(INFER, json=body(), headers=SMALL)
    assert (elsewhere.status_code, elsewhere.headers["Swarmex-Error-Code"]) == (503, "no_capacity")


def test_a_statement_of_requests_is_for_the_account_and_admins_alone(callers: Callers) -> None:
    path, asked_for = "/api/v1/ledger/requests-statement", {"account": str(callers.user.account_id)}
    assert problem(callers.provider.get(path, params=asked_for))[0] == 404
    told = callers.admin.get(path, params=asked_for).json()
    assert (UUID(told["account"]), told["lines"], told["requests"]) == (callers.user.account_id, [], 0)
