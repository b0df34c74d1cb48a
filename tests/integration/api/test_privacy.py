"""Nobody reads, or touches, another's money: every route is asked for somebody else's things, and for all things."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from backend.bootstrap import utc_now
from backend.domain.access import Role
from backend.domain.files import file_name
from backend.domain.ids import AccountId
from backend.domain.joining import TokenWish
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.periods import month
from backend.services import (
    api_keys,
    batches,
    budgets,
    disputes,
    epochs,
    incidents,
    invoicing,
    joining,
    model_uploads,
    nodes,
    payouts,
    sla,
)
from tests.integration.api.callers import Client
from tests.integration.api.counting import rows
from tests.integration.api.once import application
from tests.integration.api.route_table import CLOSED, NOBODY, Route
from tests.integration.services.batching import Batching, lines
from tests.integration.services.earning import ADMIN, earn, ran, ran_again
from tests.integration.services.usage import add_meter, event, send
from tests.market import Market
from tests.training import aggregated, begin
from tests.unit.api.serving import serving

LISTS = [route for route in CLOSED if route.method == "GET" and not route.names and route.role is not Role.ADMIN]
OF_ACCOUNTS = [route for route in CLOSED if "account" in route.queries and route.role is not Role.ADMIN]
# What everybody may see: the market itself.
PUBLIC = {
    *("/api/v1/fees", "/api/v1/meters", "/api/v1/meters/{name}/prices", "/api/v1/models", "/api/v1/prices"),
    *("/api/v1/tiers", "/api/v1/tiers/{name}/versions", "/api/v1/epochs", "/api/v1/regions/links"),
    *("/api/v1/prices/history", "/api/v1/markets/depth", "/api/v1/markets/rules"),
    *("/api/v1/markets/rules/{resource_class}/{region}", "/api/v1/regions/links/{region}/{other}"),
    "/api/v1/models/by-id/{model_id}",
    "/api/v1/nodes/{node_id}/trust",  # the score; why it is so is for its owner
}
PUBLISHED = ("epoch_id", "model_id")
WITH_IDS = [route for route in CLOSED if route.names and route.path not in PUBLIC]


@dataclass(frozen=True)
class Victims:
    """People with something of every kind, and an intruder with a key for both sides of the market."""

    ids: dict[str, Any]
    buyer: Client
    provider: Client
    owner: Client
    intruder: Client
    admin: Client
    market: Market

    def owner_of(self, route: Route) -> Client:
        """Whose things a route with ids is asked for."""
        [name, *_] = route.names
        return {
            "organisation_id": self.owner,
            "payout_id": self.provider,
            "node_id": self.provider,
            "upload_id": self.provider,
        }.get(name, self.buyer)


@pytest.fixture
def victims(
    database_url: str, node_database_url: str, redis_url: str, namespace: str, tmp_path: Path
) -> Iterator[Victims]:
    """A buyer, a provider and an organisation that did all there is to do."""
    with ExitStack() as stack:
        market = Market(database_url, node_database_url, redis_url, namespace, tmp_path / "data")
        stack.callback(market.close)
        ids = _things(market)
        address = stack.enter_context(serving(application(market.app)))

        def client(account: AccountId, role: Role) -> Client:
            key = api_keys.create_key(market.app.uow(), utc_now(), account, role)
            return stack.enter_context(Client(address, account, key))

        buyer = client(market.buyer.account_id, Role.USER)
        intruder = market.account("intruder", NANO_PER_CREDIT)
        owner = AccountId(ids.pop("owner"))
        yield Victims(
            ids | {"key_id": buyer.key.key_id},
            buyer,
            client(market.provider.account_id, Role.PROVIDER),
            client(owner, Role.USER),
            client(intruder.account_id, Role.PROVIDER),
            client(market.account("operator").account_id, Role.ADMIN),
            market,
        )


def _things(market: Market) -> dict[str, Any]:
    now, uow = utc_now(), market.app.uow
    period = month(f"{now:%Y-%m}", "UTC")
    order = ran(market)
    ran_again(market, sla_required=True)
    sla.observe(uow(), now)
    [window] = sla.list_windows(uow(), market.buyer.account_id)
    earn(market, 10 * NANO_PER_CREDIT)
    with uow() as open_uow:
        [charge, *_] = open_uow.ledger.transfers_of_order(order.id)
    [node] = nodes.list_nodes(uow(), now, market.provider.account_id)
    add_meter(market)
    [used] = send(market, event())
    assert used.usage is not None
    wish = budgets.BudgetWish("month", 20 * NANO_PER_CREDIT)
    budget = budgets.set_budget(uow(), now, market.buyer, market.buyer.account_id, wish)
    earn(market, 7 * NANO_PER_CREDIT)  # over the budget's first threshold: an alert
    organisation, owner, member, _ = market.organisation("lab", "ana", "ben")
    drafted = invoicing.draft(uow(), now, ADMIN, market.buyer.account_id, period).document.id
    assert drafted is not None
    return {
        "account_id": market.buyer.account_id,
        "model_id": market.model.ref.model_id,
        "upload_id": model_uploads.begin_upload(uow(), now, market.provider, "mine", 1, "0" * 64).id,
        "order_id": order.id,
        "node_id": node.id,
        "token_id": _token(market),
        "transfer_id": charge.id,
        "usage_id": used.usage.id,
        "budget_id": budget.id,
        "dispute_id": disputes.open_dispute(uow(), now, market.buyer, order.id, "late").id,
        "payout_id": payouts.request_payout(uow(), now, market.provider, NANO_PER_CREDIT, "DE02").id,
        "document_id": drafted,
        "window_id": window.id,
        "incident_id": _incident(market),
        "epoch_id": epochs.list_epochs(uow(), 1)[0].id,
        "organisation_id": organisation,
        **_batch(market),
        "job_id": _training(market),
        "member_id": member.actor,
        "owner": owner.account_id,
    }


def _batch(market: Market) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        batch = Batching(market, Path(folder)).submit(lines(1))
    sent = batches.show_batch(market.app.uow(), batch, market.buyer).batch.input_file_id
    return {"batch_id": batch, "file_id": file_name(sent)}


def _training(market: Market) -> str:
    job = begin(market.app, market.buyer, fit_s=1)
    aggregated(market.app, job, 0.5)
    return job


def _token(market: Market) -> UUID:
    made = joining.create_token(market.app.uow(), utc_now(), market.provider.account_id, TokenWish("fog", "south"))
    return made.token.id


def _incident(market: Market) -> UUID:
    incidents.report_crash_loop(market.app.uow(), utc_now(), "pool.edge-0", 5)
    return incidents.list_incidents(market.app.uow())[0].id


def test_somebody_elses_things_look_exactly_like_what_does_not_exist(
    victims: Victims, subtests: pytest.Subtests
) -> None:
    before = rows(victims.market.app)
    for route in WITH_IDS:
        with subtests.test(str(route)):
            theirs = route.ask(victims.intruder, victims.ids)
            nobodys = route.ask(victims.intruder)
            assert theirs.status_code == nobodys.status_code
            assert theirs.status_code == (403 if route.role is Role.ADMIN else 404)
            told = theirs.text
            for name in route.names:
                told = told.replace(str(victims.ids[name]), NOBODY)
            assert told == nobodys.text
    assert rows(victims.market.app) == before


def test_what_is_hidden_from_others_is_shown_to_its_owner_and_to_admins(
    victims: Victims, subtests: pytest.Subtests
) -> None:
    for route in WITH_IDS:
        if route.method == "GET":
            with subtests.test(str(route)):
                own = 403 if route.role is Role.ADMIN else 200
                assert route.ask(victims.owner_of(route), victims.ids).status_code == own
                assert route.ask(victims.admin, victims.ids).status_code == 200


def test_lists_show_nothing_of_others(victims: Victims, subtests: pytest.Subtests) -> None:
    secrets = {str(id) for name, id in victims.ids.items() if name not in PUBLISHED}
    seen: set[str] = set()
    for route in LISTS:
        with subtests.test(str(route)):
            told = route.ask(victims.intruder).text
            assert {id for id in secrets if id in told} == set()
            for client in (victims.buyer, victims.provider, victims.owner):
                told = route.ask(client).text
                seen |= {id for id in secrets if id in told}
    # None of these checks is empty: all but a key, an upload and a member by themselves are in some list of their
    # owners, and all but incidents, which are nobody's but the operator's.
    assert seen >= secrets - {str(victims.ids[name]) for name in ("key_id", "member_id", "incident_id", "upload_id")}


def test_nobody_but_an_admin_asks_for_another_account_by_its_id(victims: Victims, subtests: pytest.Subtests) -> None:
    assert len(OF_ACCOUNTS) >= 6
    for route in OF_ACCOUNTS:
        with subtests.test(str(route)):
            asked = {"account": str(victims.buyer.account_id)}
            refused = route.ask(victims.intruder, params=asked)
            assert (refused.status_code, refused.json()["error"]["code"]) == (404, "unknown_account")
            assert route.ask(victims.admin, params=asked).status_code == 200


def test_everybody_reads_the_market_itself_and_nothing_of_it_tells_who_pays(victims: Victims) -> None:
    secrets = {str(victims.ids[name]) for name in ("account_id", "order_id", "transfer_id", "organisation_id")}
    for route in CLOSED:
        if route.method == "GET" and route.path in PUBLIC:
            name = "small" if "/tiers/" in route.path else "storage.gb_hours"
            told = route.ask(victims.intruder, victims.ids | {"name": name})
            assert told.status_code == 200
            assert {id for id in secrets if id in told.text} == set()
