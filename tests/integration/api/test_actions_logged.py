"""Every route that changes money or access is told in the audit log, once, as done by whoever did it."""

import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.bootstrap import Swarmex, new_id, utc_now
from backend.domain.access import Spender
from backend.domain.ids import HoldId, TransferId
from backend.domain.joining import PROTOCOL
from backend.domain.metering import PRICES_FROM, MeterPrice
from backend.domain.uploads import digest_header
from backend.services import escrow, incidents, log
from backend.storage.log import Told as Entry
from tests.integration.api.callers import TIMEOUT_S, Callers, Client
from tests.integration.api.requests import workload
from tests.integration.api.route_table import CLOUD_EVENT, NODE_ROUTES, ROUTES
from tests.integration.api.supply import Supply
from tests.integration.api.test_money_routes import NANO, charged_order
from tests.onnx_files import write_doubling

# What a buyer asks for: a quote changes nothing, and an order is a record of itself.
OF_ITSELF = {"POST /api/v1/orders", "POST /api/v1/orders:batch", "POST /api/v1/quotes", "POST /api/v1/workloads"}
# What keeps its own record, and is told in the log only where an admin does it for somebody else.
OF_ITSELF |= {"POST /v1/files", "DELETE /v1/files/{file_id}", "POST /v1/batches", "POST /v1/batches/{batch_id}/cancel"}
OF_ITSELF |= {f"POST /api/v1/training-jobs{rest}" for rest in ("", "/quote", "/{job_id}/cancel")}
# A look at a server changes nothing.
OF_ITSELF |= {"POST /api/v1/nodes/external/{node_id}/check"}
# A chunk is a part of an upload, which is told when it begins and when it ends.
OF_ITSELF |= {"PUT /api/v1/models/uploads/{upload_id}"}
# Work that is claimed, beaten for and committed keeps its own record: claims, receipts and the ledger.
OF_ITSELF |= {str(route) for route in NODE_ROUTES if route.path.startswith("/api/v1/node/work/")}
LONG_AGO = timedelta(days=70)


class Told:
    """Callers who must find each of their actions in the log."""

    def __init__(self, market: Swarmex, subtests: pytest.Subtests) -> None:
        self.market = market
        self.subtests = subtests
        self.routes: set[str] = set()
        self.secrets: list[str] = []

    def do(self, client: Client, route: str, body: object = None, **ids: object) -> Any:
        """Send it; returns the answer, after exactly one new entry of that caller was found."""
        method, path = route.split()
        before = self._newest()
        headers = CLOUD_EVENT if path.endswith("/usage") else None
        answer = client.request(method, f"/api/v1{path.format(**ids)}", json=body, headers=headers)
        assert answer.is_success, answer.text
        self.routes.add(f"{method} /api/v1{path}")
        with self.subtests.test(route):
            [entry, last] = self._newest(2)
            assert [last] == before
            assert (entry.actor_id, entry.key_id) == (client.account_id, client.key.key_id)
        return answer.json() if answer.content else None

    def do_as_node(self, http: httpx.Client, owner: Client, route: str, body: dict[str, Any] | None = None) -> Any:
        """As `do`, with a node's key or token: told as done for its owner."""
        method, path = route.split()
        before = self._newest()
        answer = http.request(
            method, owner.base_url.join(f"/api/v1{path}"), json=body and {"version": PROTOCOL, **body}
        )
        assert answer.is_success, answer.text
        self.routes.add(f"{method} /api/v1{path}")
        with self.subtests.test(route):
            [entry, last] = self._newest(2)
            assert [last] == before
            assert entry.actor_id == owner.account_id
        return answer.json()

    def _newest(self, count: int = 1) -> list[Entry]:
        return log.list_entries(self.market.uow(), limit=count)


def spent(market: Swarmex, callers: Callers, when: datetime) -> TransferId:
    """Ten credits that the provider earned from the user; the charge."""
    with market.uow() as uow:
        hold = HoldId(new_id())
        escrow.reserve_one(uow, when, escrow.Need(Spender(callers.user.account_id), hold, 10 * NANO, utc_now()))
        [charge] = escrow.capture(uow, when, [escrow.Charge(hold, callers.provider.account_id, 10 * NANO)])
        uow.commit()
    return charge.id


def price_behind_the_services(market: Swarmex) -> None:
    """A lower price at which nothing was rated yet."""
    with market.uow() as uow:
        uow.metering.add_price(MeterPrice("storage", 3, 1, PRICES_FROM, utc_now()))
        uow.commit()


def test_every_route_that_changes_money_or_access_is_told_in_the_log(
    callers: Callers, market: Swarmex, supply: Supply, subtests: pytest.Subtests, tmp_path: Path
) -> None:
    told = Told(market, subtests)
    admin, provider, user = callers.admin, callers.provider, callers.user
    _access(told, admin, provider, user)
    _money(told, market, callers)
    _orders(told, market, callers, supply)
    _models(told, provider, tmp_path)
    assert told.routes == {str(route) for route in (*ROUTES, *NODE_ROUTES) if route.method != "GET"} - OF_ITSELF
    shown = admin.get("/api/v1/audit-log", params={"limit": log.LIST_MAX}).text
    secrets = [*told.secrets, admin.key.secret, provider.key.secret, user.key.secret]
    assert len(secrets) > 4
    assert not [secret for secret in secrets if secret in shown]


def _access(told: Told, admin: Client, provider: Client, user: Client) -> None:
    account = told.do(admin, "POST /accounts", {"name": "acme"})["id"]
    key = told.do(admin, "POST /keys", {"account": account, "role": "user"})
    told.secrets.append(key["secret"])
    told.do(user, "PUT /keys/{key_id}/limits", {"in_flight": 4}, key_id=user.key.key_id)
    told.do(user, "DELETE /keys/{key_id}/limits", key_id=user.key.key_id)
    told.do(admin, "DELETE /keys/{key_id}", key_id=key["key_id"])
    lab = told.do(user, "POST /organisations", {"name": "lab"})["account"]["id"]
    told.do(user, "POST /organisations/{organisation_id}/members", {"member": account}, organisation_id=lab)
    key = told.do(user, "POST /organisations/{organisation_id}/keys", {"member": account}, organisation_id=lab)
    told.secrets.append(key["secret"])
    path = "DELETE /organisations/{organisation_id}/members/{member_id}"
    told.do(user, path, organisation_id=lab, member_id=account)
    node = {"name": "rack", "resource_class": "fog", "region": "south", "slots": 1}
    node_id = told.do(provider, "POST /nodes", node)["id"]
    told.do(provider, "POST /offers", {"node": node_id, "ask": "1"})
    told.do(provider, "POST /nodes/{node_id}/drain", node_id=node_id)
    server = {"name": "triton", "url": "https://models.example", "resource_class": "cloud", "region": "south"}
    made = told.do(provider, "POST /nodes/external", server | {"credential": "hush-7f3a", "ask": "1"})
    told.secrets.append("hush-7f3a")
    told.do(provider, "DELETE /nodes/external/{node_id}", node_id=made["node"]["id"])
    token = told.do(provider, "POST /nodes/join-tokens", {"resource_class": "fog", "region": "south"})
    told.secrets.append(token["secret"])
    spare = told.do(provider, "POST /nodes/join-tokens", {"resource_class": "fog", "region": "south"})
    told.secrets.append(spare["secret"])
    told.do(provider, "DELETE /nodes/join-tokens/{token_id}", token_id=spare["id"])
    with httpx.Client(timeout=TIMEOUT_S) as http:
        machine = {"token": token["secret"], "name": "attic", "slots": 1}
        remote = told.do_as_node(http, provider, "POST /nodes/join", machine)
        http.headers["Authorization"] = f"Bearer {remote['key']}"
        told.do_as_node(http, provider, "POST /node/offer", {"ask": "1"})
        told.do_as_node(http, provider, "POST /node/hardware", {"cores": 3})
        told.do_as_node(http, provider, "POST /node/drain")
    node_id = remote["node"]["id"]
    token = told.do(provider, "POST /nodes/{node_id}/join-tokens", {}, node_id=node_id)
    told.secrets += [token["secret"], remote["key"]]
    told.do(provider, "DELETE /nodes/{node_id}/keys", node_id=node_id)


def _money(told: Told, market: Swarmex, callers: Callers) -> None:
    admin, provider, user = callers.admin, callers.provider, callers.user
    buyer = str(user.account_id)
    told.do(admin, "POST /deposits", {"account": buyer, "amount": "50", "reference": "paid"})
    budget = told.do(user, "POST /budgets", {"period": "day", "amount": "90"})["id"]
    told.do(user, "POST /budgets/{budget_id}/end", budget_id=budget)
    told.do(admin, "POST /fees", {"tier": "small", "fee_ppm": 10})
    told.do(admin, "POST /markets/rules", {"resource_class": "fog", "region": "south", "mechanism": "mcafee"})
    told.do(admin, "PUT /regions/links", {"region": "north", "other": "south", "latency_ms": 9})
    path = "DELETE /markets/rules/{resource_class}/{region}"
    told.do(admin, path, resource_class="fog", region="south")
    told.do(admin, "DELETE /regions/links/{region}/{other}", region="south", other="north")
    told.do(admin, "POST /tiers/{name}", {"slots_max": 8, "month_cap": "200"}, name="small")
    told.do(admin, "POST /ledger/credits", {"amount": "5", "source": "world", "reference": "donation"})
    told.do(admin, "POST /ledger/refunds", {"account": buyer, "amount": "1", "reason": "sorry"})
    _bills(told, market, callers)
    asked = [told.do(provider, "POST /payouts", {"amount": "2", "destination": "DE02"})["id"] for _ in range(3)]
    told.do(admin, "POST /payouts/{payout_id}/approve", payout_id=asked[0])
    told.do(admin, "POST /payouts/{payout_id}/post", {"reference": "sepa-1"}, payout_id=asked[0])
    told.do(admin, "POST /payouts/{payout_id}/reject", {"reason": "no such bank"}, payout_id=asked[1])
    told.do(provider, "POST /payouts/{payout_id}/cancel", payout_id=asked[2])
    told.do(admin, "POST /meters", {"name": "storage", "unit": "GB hours", "price": "1"})
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "storage", "subject": buyer}
    told.do(admin, "POST /usage", event | {"data": {"quantity": "2"}})
    told.do(admin, "POST /meters/{name}/prices", {"price": "2", "valid_from": "2999-01-01T00:00:00Z"}, name="storage")
    price_behind_the_services(market)
    assert told.do(admin, "POST /meters/{name}/rerate", {}, name="storage")["corrected"] == 1
    [usage] = user.get("/api/v1/usage").json()["usage"]
    told.do(admin, "POST /usage/{usage_id}/void", {"reason": "twice"}, usage_id=usage["id"])


def _bills(told: Told, market: Swarmex, callers: Callers) -> None:
    admin, then = callers.admin, utc_now() - LONG_AGO
    charge, _ = (spent(market, callers, then) for _ in range(2))
    body = {"account": str(callers.user.account_id), "month": f"{then:%Y-%m}"}
    invoice = told.do(admin, "POST /invoices", body)["id"]
    told.do(admin, "POST /invoices/{document_id}/finalise", document_id=invoice)
    told.do(admin, "POST /ledger/transfers/{transfer_id}/reverse", {"reason": "wrong"}, transfer_id=charge)
    note = told.do(admin, "POST /invoices/{document_id}/credit-note", document_id=invoice)["id"]
    told.do(admin, "POST /invoices/{document_id}/void", {"reason": "wrong"}, document_id=note)
    told.do(admin, "POST /invoices/{document_id}/pay", {"reference": "sepa-0"}, document_id=invoice)


def _models(told: Told, provider: Client, folder: Path) -> None:
    content = write_doubling(folder / "sent.onnx", 7.0).read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    wish = {"name": "sent", "size_bytes": len(content), "sha256": sha256}
    upload = told.do(provider, "POST /models/uploads", wish)["id"]
    told.do(provider, "DELETE /models/uploads/{upload_id}", upload_id=upload)
    upload = told.do(provider, "POST /models/uploads", wish)["id"]
    headers = {"Content-Digest": digest_header(sha256)}
    sent = provider.put(f"/api/v1/models/uploads/{upload}", content=content, headers=headers)
    assert sent.json()["offset"] == len(content)
    told.do(provider, "POST /models/uploads/{upload_id}/complete", upload_id=upload)
    version = {"name": "sent", "version": 1}
    told.do(provider, "PUT /models/{name}/aliases/{alias}", {"version": 1}, name="sent", alias="best")
    told.do(provider, "DELETE /models/{name}/aliases/{alias}", name="sent", alias="best")
    told.do(provider, "POST /models/{name}/versions/{version}", {"tags": {"team": "vision"}}, **version)
    told.do(provider, "POST /models/{name}/versions/{version}/stage", {"stage": "staging"}, **version)
    told.do(provider, "DELETE /models/{name}/versions/{version}", **version)
    told.do(provider, "POST /models/{name}/versions/{version}/restore", **version)


def _orders(told: Told, market: Swarmex, callers: Callers, supply: Supply) -> None:
    admin, user = callers.admin, callers.user
    order = charged_order(market, callers, supply)
    for decision in ("reject", "uphold"):
        dispute = told.do(user, "POST /disputes", {"order": order, "reason": "all zeros"})["id"]
        told.do(admin, f"POST /disputes/{{dispute_id}}/{decision}", {"reason": "decided"}, dispute_id=dispute)
    supply.clearing.clear()
    placed = user.post("/api/v1/orders", json=workload()).json()["id"]
    told.do(admin, "POST /orders/{order_id}/cancel", order_id=placed)
    incidents.report_crash_loop(market.uow(), utc_now(), "pool.edge-0", 5)
    [incident] = admin.get("/api/v1/incidents").json()["incidents"]
    told.do(admin, "POST /incidents/{incident_id}/ack", incident_id=incident["id"])
