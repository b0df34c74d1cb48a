"""Organisations over HTTP: members spend the shared wallet, owners manage, strangers see nothing."""

from collections.abc import Iterator
from typing import Any

import pytest

from backend.bootstrap import Swarmex
from tests.integration.api.callers import Callers, problem
from tests.integration.api.counting import rows
from tests.integration.api.lab import ORGANISATIONS, Lab, founded, opens_nothing
from tests.integration.api.requests import workload
from tests.integration.api.supply import Supply

NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def lab(market: Swarmex, callers: Callers) -> Iterator[Lab]:
    """An organisation with two members."""
    made = founded(market, callers)
    yield made
    for client in (made.ana, made.ben, made.ana_for_lab, made.ben_for_lab):
        client.close()


def roles(shown: dict[str, Any]) -> dict[str, str]:
    """What each member is, by name."""
    return {member["name"]: member["role"] for member in shown["members"]}


def test_an_organisation_has_a_wallet_of_its_own_and_its_founder_as_owner(callers: Callers) -> None:
    made = callers.user.post(ORGANISATIONS, json={"name": "lab"})
    assert made.status_code == 201
    lab = made.json()
    assert (lab["account"]["name"], lab["account"]["wallet"]) == ("lab", "0.000000000")
    assert [(m["account"], m["role"]) for m in lab["members"]] == [(str(callers.user.account_id), "owner")]
    path = f"{ORGANISATIONS}/{lab['account']['id']}"
    assert callers.user.get(path).json() == lab == callers.admin.get(path).json()
    assert callers.user.get(ORGANISATIONS).json() == [
        {"organisation": lab["account"]["id"], "name": "lab", "role": "owner"}
    ]
    assert [o["name"] for o in callers.admin.get(ORGANISATIONS).json()] == ["lab"]
    assert callers.provider.get(ORGANISATIONS).json() == []


def test_members_see_each_other_and_what_is_left_and_an_owner_gives_them_other_roles(
    callers: Callers, lab: Lab
) -> None:
    assert roles(lab.ana.get(lab.path).json()) == {"ana": "member", "ben": "member", "user-account": "owner"}
    assert lab.ana_for_lab.get(lab.path).json() == callers.user.get(lab.path).json()
    [membership] = lab.ana.get(ORGANISATIONS).json()
    assert (membership["organisation"], membership["role"]) == (lab.id, "member")
    promoted = callers.user.post(f"{lab.path}/members", json={"member": str(lab.ana.account_id), "role": "owner"})
    assert roles(promoted.json())["ana"] == "owner"
    demoted = lab.ana.post(f"{lab.path}/members", json={"member": str(callers.user.account_id), "role": "member"})
    assert roles(demoted.json()) == {"ana": "owner", "ben": "member", "user-account": "member"}
    refused = callers.user.post(f"{lab.path}/members", json={"member": str(lab.ben.account_id), "role": "owner"})
    assert problem(refused) == (403, "owner_needed", "role")


def test_a_member_spends_from_the_shared_wallet_until_removed_and_within_a_second_no_more(
    callers: Callers, lab: Lab, supply: Supply
) -> None:
    lab.deposit(10**9)
    placed = lab.ana_for_lab.post("/api/v1/orders", json=workload(workload="batch"))
    assert placed.status_code == 201, placed.text
    assert placed.json()["account"] == lab.id
    assert [o["id"] for o in lab.ben_for_lab.get("/api/v1/orders").json()["orders"]] == [placed.json()["id"]]
    assert lab.ana.get("/api/v1/orders").json()["orders"] == []
    removed = callers.user.delete(f"{lab.path}/members/{lab.ana.account_id}")
    assert roles(removed.json()) == {"ben": "member", "user-account": "owner"}
    assert opens_nothing(lab.ana_for_lab)
    again = lab.ana_for_lab.post("/api/v1/orders", json=workload(workload="batch"))
    assert problem(again)[:2] == (401, "unauthenticated")
    assert problem(lab.ana.get(lab.path)) == (404, "unknown_organisation", "organisation")
    assert problem(lab.ana.post(f"{lab.path}/keys", json={}))[0] == 404
    assert lab.ben_for_lab.get("/api/v1/orders").status_code == 200


def test_a_member_leaves_alone_but_the_last_owner_stays(callers: Callers, lab: Lab) -> None:
    left = lab.ana.delete(f"{lab.path}/members/{lab.ana.account_id}")
    assert (left.status_code, roles(left.json())) == (200, {"ben": "member", "user-account": "owner"})
    assert opens_nothing(lab.ana_for_lab)
    me = str(callers.user.account_id)
    for refused in (
        callers.user.delete(f"{lab.path}/members/{me}"),
        callers.user.post(f"{lab.path}/members", json={"member": me, "role": "member"}),
        callers.admin.delete(f"{lab.path}/members/{me}"),
    ):
        assert problem(refused) == (409, "last_owner", "member")
    callers.user.post(f"{lab.path}/members", json={"member": str(lab.ben.account_id), "role": "owner"})
    assert callers.user.delete(f"{lab.path}/members/{me}").status_code == 200
    assert roles(lab.ben.get(lab.path).json()) == {"ben": "owner"}


def test_members_do_not_manage_and_nothing_is_written(callers: Callers, lab: Lab, market: Swarmex) -> None:
    before = rows(market)
    for client in (lab.ana, lab.ana_for_lab):
        for refused in (
            client.post(f"{lab.path}/members", json={"member": str(callers.provider.account_id)}),
            client.post(f"{lab.path}/members", json={"member": str(lab.ana.account_id), "role": "owner"}),
            client.post(f"{lab.path}/members", json={"member": NOBODY}),
            client.delete(f"{lab.path}/members/{lab.ben.account_id}"),
            client.delete(f"{lab.path}/members/{NOBODY}"),
            client.post(f"{lab.path}/keys", json={"member": str(lab.ben.account_id)}),
        ):
            assert problem(refused) == (403, "owner_needed", "role")
    assert rows(market) == before


def test_to_strangers_an_organisation_looks_like_one_that_does_not_exist(
    callers: Callers, lab: Lab, market: Swarmex
) -> None:
    before, stranger = rows(market), callers.provider
    for path in (lab.path, f"{ORGANISATIONS}/{NOBODY}"):
        for refused in (
            stranger.get(path),
            stranger.post(f"{path}/members", json={"member": str(stranger.account_id)}),
            stranger.delete(f"{path}/members/{lab.ana.account_id}"),
            stranger.delete(f"{path}/members/{stranger.account_id}"),
            stranger.post(f"{path}/keys", json={}),
        ):
            assert problem(refused) == (404, "unknown_organisation", "organisation")
    assert rows(market) == before


def test_a_members_key_opens_what_its_member_may_and_nothing_above(callers: Callers, lab: Lab) -> None:
    made = lab.ana_for_lab.post("/api/v1/keys", json={"label": "second", "role": "user"})
    assert (made.status_code, made.json()["account"]) == (201, lab.id)
    assert problem(lab.ana_for_lab.post("/api/v1/keys", json={"role": "admin"}))[0] == 403
    assert problem(lab.ben_for_lab.delete(f"/api/v1/keys/{made.json()['key_id']}"))[:2] == (403, "owner_needed")
    assert callers.user.delete(f"/api/v1/keys/{made.json()['key_id']}").status_code == 204


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("", {"name": "lab"}, (409, "account_exists", "name")),
        ("", {"name": "A Lab"}, (422, "invalid_name", "name")),
        ("", {}, (422, "missing_field", "name")),
        ("/members", {"member": NOBODY}, (404, "unknown_account", "member")),
        ("/members", {"member": "ana"}, (422, "invalid_member", "member")),
        ("/members", {"member": "{user}", "role": "king"}, (422, "invalid_role", "role")),
        ("/members", {"member": "{lab}"}, (422, "not_a_person", "member")),
        ("/keys", {"member": "{provider}"}, (404, "unknown_member", "member")),
        ("/keys", {"member": NOBODY}, (404, "unknown_account", "member")),
        ("/keys", {"label": "x" * 101}, (422, "invalid_label", "label")),
    ],
)
def test_what_cannot_be_is_refused_with_its_field_and_not_written(
    callers: Callers, lab: Lab, market: Swarmex, path: str, body: dict[str, str], expected: tuple[int, str, str]
) -> None:
    ids = {"{user}": callers.user.account_id, "{provider}": callers.provider.account_id, "{lab}": lab.id}
    asked = {name: str(ids.get(value, value)) for name, value in body.items()}
    before = rows(market)
    refused = callers.user.post(lab.path + path if path else ORGANISATIONS, json=asked)
    assert problem(refused) == expected
    assert refused.json()["error"]["accepted"]
    assert rows(market) == before
