"""Payouts, disputes, fees and the books over HTTP: what is seen by whom, and what a repeat does."""

import time
from typing import Any
from uuid import UUID

import pytest

from backend.bootstrap import Swarmex, new_id, utc_now
from backend.domain.access import Spender
from backend.domain.ids import HoldId
from backend.domain.work import Dispatch, ItemResult
from backend.services import audit, escrow, relay, settlement
from tests.integration.api.callers import Callers, Client, problem
from tests.integration.api.counting import rows
from tests.integration.api.requests import workload
from tests.integration.api.supply import Supply, node_functions
from tests.waiting import PATIENCE_S

NANO = 10**9


@pytest.fixture
def earned(market: Swarmex, callers: Callers) -> UUID:
    """Ten credits that the provider earned from the user, one of which went to the market; the charge's id."""
    with market.uow() as uow:
        hold = HoldId(new_id())
        need = escrow.Need(Spender(callers.user.account_id), hold, 10 * NANO, utc_now())
        escrow.reserve_one(uow, utc_now(), need)
        charge = escrow.Charge(hold, callers.provider.account_id, 10 * NANO, 100_000)
        [moved, _] = escrow.capture(uow, utc_now(), [charge])
        uow.commit()
    return moved.id


def post(client: Client, path: str, body: dict[str, Any] | None = None, key: str | None = None) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(f"/api/v1{path}", json=body, headers=headers)


def test_a_payout_goes_from_request_to_posted_and_each_step_may_be_repeated(
    callers: Callers, market: Swarmex, earned: UUID
) -> None:
    asked = {"amount": "4", "destination": "DE02"}
    first, again = (post(callers.provider, "/payouts", asked, "once") for _ in range(2))
    assert (first.status_code, first.json()) == (201, again.json())
    payout = first.json()
    assert (payout["state"], payout["amount"]) == ("requested", "4.000000000")
    assert problem(post(callers.provider, "/payouts", asked | {"amount": "5"}, "once"))[:2] == (
        409,
        "idempotency_key_reused",
    )
    path = f"/payouts/{payout['id']}"
    paid = {"reference": "sepa-1"}
    assert problem(post(callers.admin, f"{path}/post", paid)) == (409, "payout_requested", "payout")
    approved = [post(callers.admin, f"{path}/approve", key="approve").json() for _ in range(2)]
    assert approved[0] == approved[1]
    posted = [post(callers.admin, f"{path}/post", paid).json() for _ in range(2)]
    assert (posted[0]["state"], posted[0]["reference"]) == ("posted", "sepa-1")
    assert posted[0] == posted[1] == callers.provider.get(f"/api/v1{path}").json()
    assert callers.provider.get("/api/v1/payouts").json() == {"payouts": posted[:1], "next_before": None}
    assert callers.admin.get("/api/v1/payouts", params={"state": "requested"}).json()["payouts"] == []
    assert callers.provider.get("/api/v1/accounts/me").json()["earnings"] == "5.000000000"
    assert audit.audit_ledger(market.uow()).ok


def test_a_payout_is_rejected_or_cancelled_and_is_nobody_elses(callers: Callers, earned: UUID) -> None:
    asked = {"amount": "9", "destination": "DE02"}
    path = f"/payouts/{post(callers.provider, '/payouts', asked).json()['id']}"
    for client, verb in ((callers.user, "cancel"), (callers.provider, "approve"), (callers.provider, "post")):
        assert problem(post(client, f"{path}/{verb}", {"reference": "r"}))[0] == 403
    assert problem(post(callers.provider, "/payouts", asked)) == (402, "insufficient_earnings", "amount")
    rejected = post(callers.admin, f"{path}/reject", {"reason": "no such bank"}).json()
    assert (rejected["state"], rejected["reason"]) == ("rejected", "no such bank")
    path = f"/payouts/{post(callers.provider, '/payouts', asked).json()['id']}"
    assert post(callers.provider, f"{path}/cancel").json()["state"] == "cancelled"
    newest = callers.provider.get("/api/v1/payouts", params={"limit": 1}).json()
    older = callers.provider.get("/api/v1/payouts", params={"before": newest["next_before"]}).json()
    assert [p["state"] for p in newest["payouts"] + older["payouts"]] == ["cancelled", "rejected"]
    assert problem(callers.admin.get(f"/api/v1/payouts/{new_id()}")) == (404, "unknown_payout", "payout")


def test_a_charge_is_reversed_by_an_admin_once_whatever_is_repeated(
    callers: Callers, market: Swarmex, earned: UUID
) -> None:
    path, body = f"/ledger/transfers/{earned}/reverse", {"reason": "a mistake", "with_fee": True}
    before = callers.user.get("/api/v1/accounts/me").json()["wallet"]
    assert problem(post(callers.user, path, body))[0] == problem(post(callers.provider, path, body))[0] == 403
    made = [post(callers.admin, path, body, "once") for _ in range(2)]
    assert (made[0].status_code, made[0].json()) == (201, made[1].json())
    assert (len(made[0].json()["transfers"]), made[0].json()["from_fund"]) == (2, "0.000000000")
    assert problem(post(callers.admin, path, body)) == (409, "already_reversed", "transfer")
    assert (before, callers.user.get("/api/v1/accounts/me").json()["wallet"]) == ("90.000000000", "100.000000000")
    shown = callers.user.get(f"/api/v1/ledger/transfers/{earned}").json()
    assert shown["reversed_by"] in made[0].json()["transfers"]
    assert audit.audit_ledger(market.uow()).ok


def test_without_earnings_the_fund_pays_when_told_to(callers: Callers, market: Swarmex, earned: UUID) -> None:
    post(callers.provider, "/payouts", {"amount": "9", "destination": "DE02"})
    path, body = f"/ledger/transfers/{earned}/reverse", dict[str, object](reason="a mistake")
    assert problem(post(callers.admin, path, body)) == (402, "payee_short_of_funds", "from_fund")
    body |= {"from_fund": True}
    assert problem(post(callers.admin, path, body)) == (402, "fund_short", "amount")
    funding = {"amount": "12", "source": "world", "reference": "donation"}
    filled = [post(callers.admin, "/ledger/credits", funding) for _ in range(2)]
    assert (filled[0].status_code, filled[0].json()["available"]) == (201, "12.000000000")
    assert filled[1].json() == filled[0].json() | {"repeated": True}
    assert post(callers.admin, path, body).json()["from_fund"] == "9.000000000"
    refund = {"account": str(callers.user.account_id), "amount": "3", "reason": "sorry"}
    refunded = [post(callers.admin, "/ledger/refunds", refund, "once").json() for _ in range(2)]
    assert refunded[0] == refunded[1]
    assert problem(post(callers.admin, "/ledger/refunds", refund)) == (402, "fund_short", "amount")
    assert callers.user.get("/api/v1/accounts/me").json()["wallet"] == "102.000000000"
    assert audit.audit_ledger(market.uow()).ok


def test_transfers_are_seen_by_both_parties_who_are_not_told_who_the_other_is(callers: Callers, earned: UUID) -> None:
    mine = callers.user.get("/api/v1/ledger/transfers").json()["transfers"]
    assert [t["kind"] for t in mine] == ["fee", "charge", "deposit"]
    charge = mine[1]
    assert (charge["id"], charge["amount"]) == (str(earned), "9.000000000")
    assert charge["debit"] == {"kind": "wallet", "account": str(callers.user.account_id)}
    assert charge["credit"] == {"kind": "earnings", "account": None}
    [theirs] = callers.provider.get("/api/v1/ledger/transfers").json()["transfers"]
    assert theirs["debit"] == {"kind": "wallet", "account": None}
    everything = callers.admin.get("/api/v1/ledger/transfers", params={"limit": 2}).json()
    assert [t["kind"] for t in everything["transfers"]] == ["fee", "charge"]
    assert everything["next_before"] == str(earned)
    own = {"account": str(callers.provider.account_id)}
    told = callers.admin.get("/api/v1/ledger/transfers", params=own).json()["transfers"]
    assert [t["debit"]["account"] for t in told] == [str(callers.user.account_id)]
    deposit = mine[2]["id"]
    for client, path in (
        (callers.user, f"/api/v1/ledger/transfers?account={callers.provider.account_id}"),
        (callers.provider, f"/api/v1/ledger/transfers/{deposit}"),
        (callers.user, f"/api/v1/ledger/statement?account={callers.provider.account_id}"),
    ):
        assert problem(client.get(path))[0] == 404


def test_a_statement_runs_from_its_opening_to_its_closing_balance(callers: Callers, earned: UUID) -> None:
    path = "/api/v1/ledger/statement"
    whole = callers.user.get(path).json()
    assert (whole["kind"], whole["opening"], whole["closing"]) == ("wallet", "0.000000000", "90.000000000")
    assert [(row["change"], row["balance"]) for row in whole["rows"]] == [
        ("100.000000000", "100.000000000"),
        ("-9.000000000", "91.000000000"),
        ("-1.000000000", "90.000000000"),
    ]
    first = callers.user.get(path, params={"limit": 2}).json()
    rest = callers.user.get(path, params={"after": first["next_after"]}).json()
    assert first["rows"] + rest["rows"] == whole["rows"]
    assert first["closing"] == rest["opening"] == "91.000000000"
    later = callers.user.get(path, params={"since": "2999-01-01", "until": "2999-02-01T00:00:00+01:00"}).json()
    assert (later["opening"], later["rows"], later["closing"]) == ("90.000000000", [], "90.000000000")
    assert (later["since"], later["until"]) == ("2999-01-01T00:00:00Z", "2999-01-31T23:00:00Z")
    assert callers.provider.get(path, params={"kind": "earnings"}).json()["closing"] == "9.000000000"
    assert callers.admin.get(path, params={"kind": "fees"}).json()["closing"] == "1.000000000"
    assert problem(callers.user.get(path, params={"kind": "fees"})) == (422, "invalid_kind", "kind")
    assert problem(callers.user.get(path, params={"since": "soon"})) == (422, "invalid_since", "since")


def test_anyone_reads_the_fees_and_admins_set_them(callers: Callers, market: Swarmex) -> None:
    assert [(f["tier"], f["fee_ppm"]) for f in callers.user.get("/api/v1/fees").json()] == [
        ("enterprise", 20_000),
        ("large", 30_000),
        ("medium", 40_000),
        ("small", 50_000),
    ]
    fee = {"tier": "small", "fee_ppm": 60_000, "valid_from": "2999-01-01T00:00:00+01:00"}
    assert problem(post(callers.provider, "/fees", fee))[0] == 403
    made = post(callers.admin, "/fees", fee)
    assert (made.status_code, made.json()["version"]) == (201, 2)
    assert made.json()["valid_from"] == "2998-12-31T23:00:00Z"
    before = rows(market)
    for changes, code, field in (
        ({"tier": "giant"}, "invalid_tier", "tier"),
        ({"fee_ppm": 500_001}, "invalid_fee", "fee_ppm"),
        ({"fee_ppm": "1"}, "invalid_fee_ppm", "fee_ppm"),
        ({"valid_from": "2020-01-01T00:00:00Z"}, "invalid_valid_from", "valid_from"),
    ):
        assert problem(post(callers.admin, "/fees", fee | changes)) == (422, code, field)
    assert rows(market) == before


def charged_order(market: Swarmex, callers: Callers, supply: Supply) -> str:
    """An order of the user that ran on the supply's node."""
    order = callers.user.post("/api/v1/orders", json=workload()).json()
    database, sent, deadline = node_functions(market), list[Dispatch](), time.monotonic() + PATIENCE_S
    while not sent:
        relay.relay(market.uow(), utc_now(), sent.extend)
        assert time.monotonic() < deadline
    items = [item for dispatch in sent for item in database.claim(supply.agent_id, dispatch.unit_id)]
    database.commit(supply.agent_id, [ItemResult(item.item_id, item.fence, 5, b'{"outputs":[]}') for item in items])
    shown = order
    while shown["state"] != "settled":  # while the supply clears, it has the order locked, and settling passes by
        settlement.settle_finished(market.uow(), utc_now())
        shown = callers.user.get(f"/api/v1/orders/{order['id']}").json()
        assert time.monotonic() < deadline, shown
    assert shown["charged"] == "0.000000005"
    return str(order["id"])


def test_an_order_of_ones_own_is_contested_and_resolved(callers: Callers, market: Swarmex, supply: Supply) -> None:
    order = charged_order(market, callers, supply)
    asked = {"order": order, "reason": "all zeros"}
    assert problem(post(callers.provider, "/disputes", asked))[:2] == (404, "unknown_order")
    opened = [post(callers.user, "/disputes", asked, "once") for _ in range(2)]
    assert (opened[0].status_code, opened[0].json()) == (201, opened[1].json())
    dispute = opened[0].json()
    path = f"/disputes/{dispute['id']}"
    assert (dispute["state"], dispute["order"], dispute["refunded"]) == ("open", order, None)
    assert problem(post(callers.user, "/disputes", asked)) == (409, "already_disputed", "order")
    assert problem(post(callers.user, f"{path}/uphold", {"reason": "please"}))[0] == 403
    assert problem(callers.provider.get(f"/api/v1{path}")) == (404, "unknown_dispute", "dispute")
    assert post(callers.admin, f"{path}/reject", {"reason": "it ran"}).json()["state"] == "rejected"
    assert problem(post(callers.admin, f"{path}/uphold", {"reason": "after all"})) == (
        409,
        "dispute_resolved",
        "dispute",
    )
    again = post(callers.user, "/disputes", asked).json()
    body = {"reason": "it was broken", "amount": "0.000000001"}
    upheld = post(callers.admin, f"/disputes/{again['id']}/uphold", body)
    assert (upheld.json()["state"], upheld.json()["refunded"]) == ("upheld", "0.000000001")
    listed = callers.user.get("/api/v1/disputes").json()["disputes"]
    assert [d["state"] for d in listed] == ["upheld", "rejected"]
    assert callers.provider.get("/api/v1/disputes").json()["disputes"] == []
    assert audit.audit_ledger(market.uow()).ok
