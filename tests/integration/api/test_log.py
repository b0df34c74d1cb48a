"""The audit log over HTTP: every action names who did it, admins read it, nobody changes it."""

from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from backend.bootstrap import Swarmex
from backend.domain.access import Role
from tests.integration.api.callers import Callers, problem
from tests.integration.api.supply import Supply

PATH = "/api/v1/audit-log"


def entries(callers: Callers, **narrowed: str | int) -> list[dict[str, object]]:
    answer = callers.admin.get(PATH, params=narrowed)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, object]] = answer.json()["entries"]
    return found


def test_what_is_done_with_a_key_is_told_of_its_holder(callers: Callers, market: Swarmex, supply: Supply) -> None:
    admin, provider = callers.admin, callers.provider
    account = admin.post("/api/v1/accounts", json={"name": "acme"}).json()["id"]
    admin.post("/api/v1/deposits", json={"account": account, "amount": "2.5", "reference": "paid"})
    key = admin.post("/api/v1/keys", json={"account": account, "role": "user"}).json()
    admin.delete(f"/api/v1/keys/{key['key_id']}")
    node = provider.post(
        "/api/v1/nodes", json={"name": "rack", "resource_class": "fog", "region": "eu", "slots": 1}
    ).json()["id"]
    provider.post("/api/v1/offers", json={"node": node, "ask": "0.5"})
    provider.post(f"/api/v1/nodes/{node}/drain")
    told = [(e["actor_name"], e["action"], e["subject"]) for e in reversed(entries(callers, limit=7))]
    assert told == [
        ("admin-account", "account.create", f"account {account}"),
        ("admin-account", "deposit.book", f"account {account}"),
        ("admin-account", "key.create", f"key {key['key_id']}"),
        ("admin-account", "key.revoke", f"key {key['key_id']}"),
        ("provider-account", "node.register", f"node {node}"),
        ("provider-account", "node.offer", f"node {node}"),
        ("provider-account", "node.drain", f"node {node}"),
    ]
    [deposit] = entries(callers, action="deposit.book", limit=1)
    assert deposit["key"] == str(admin.key.key_id)
    details = deposit["details"]
    assert isinstance(details, dict)
    assert (details["amount_nano"], details["reference"]) == (2_500_000_000, "paid")


def test_no_secret_is_told(callers: Callers) -> None:
    made = callers.admin.post("/api/v1/keys", json={"role": "user"}).json()
    assert made["secret"] not in callers.admin.get(PATH).text


def test_the_log_is_narrowed_and_read_in_pages(callers: Callers) -> None:
    for number in range(3):
        callers.admin.post("/api/v1/accounts", json={"name": f"acme-{number}"})
    actor = {"actor": str(callers.admin.account_id)}
    assert [e["action"] for e in entries(callers, **actor)] == ["account.create"] * 3
    assert entries(callers, actor=str(callers.user.account_id)) == []
    assert len(entries(callers, action="account.", **actor)) == 3
    assert entries(callers, action="account", **actor) == []
    assert len(entries(callers, subject="account", **actor)) == 3
    assert entries(callers, subject="acc", **actor) == []
    newest = entries(callers, **actor)
    assert entries(callers, subject=str(newest[1]["subject"])) == [newest[1]]
    page = callers.admin.get(PATH, params={"limit": 2, **actor}).json()
    rest = callers.admin.get(PATH, params={"limit": 2, "before": page["next_before"], **actor}).json()
    assert page["entries"] + rest["entries"] == newest
    assert rest["next_before"] is None
    assert problem(callers.admin.get(PATH, params={"limit": 0}))[0] == 422


def test_only_admins_read_the_log(callers: Callers) -> None:
    for role in (Role.USER, Role.PROVIDER):
        assert problem(callers.of(role).get(PATH))[0] == 403


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET action = 'nothing'",
        "UPDATE audit_log SET actor_id = NULL",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
    ],
)
def test_an_entry_cannot_be_changed_by_the_owner_of_the_table_either(
    callers: Callers, market: Swarmex, statement: str
) -> None:
    before = entries(callers)
    assert before
    with market.engine.begin() as connection, pytest.raises(IntegrityError, match="audit_log is append-only"):
        connection.execute(text(statement))
    assert entries(callers) == before


def test_entries_come_with_ids_in_order_of_time(callers: Callers) -> None:
    ids = [UUID(str(entry["id"])) for entry in entries(callers)]
    assert ids == sorted(ids, reverse=True)
