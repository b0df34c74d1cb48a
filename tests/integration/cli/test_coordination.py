"""`swarmex fact`, `swarmex resource` and `swarmex joint`."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from agents.base import Identity
from agents.joint_worker import JointWorker
from backend.bootstrap import new_id, utc_now
from backend.domain.coordination import Put
from backend.domain.ids import AgentId
from backend.domain.joint_tasks import PartFailure, PartResult, TaskWish
from backend.services import coordination, joint_audit, joint_tasks, log
from tests.integration.cli.runner import Cli
from tests.market import Market


def test_facts_are_set_read_and_deleted_over_the_version_that_was_seen(cli: Cli, market: Market) -> None:
    made = cli.json("fact", "set", "notice", '{"text": "ä"}', "--expires", "2h")
    assert (made["value"], made["owner"]) == ({"text": "ä"}, "operator")
    assert made["expires_at"] > made["written_at"]
    assert cli.json("fact", "get", "notice") == made
    assert cli.refused("fact", "set", "notice", "1", "--expect", "0") == ("fact_stale", "expected")
    again = cli.json("fact", "set", "notice", '"new"', "--expect", made["version"])
    assert again["expires_at"] is None
    assert [fact["value"] for fact in cli.json("fact", "list", "not")] == ["new"]
    assert cli.json("fact", "list", "x") == []
    assert '"new"' in cli.run("fact", "list").out
    assert '"new"' in cli.run("fact", "get", "notice").out
    assert cli.json("fact", "delete", "notice") == {"key": "notice", "deleted": True}
    assert cli.refused("fact", "get", "notice") == ("unknown_fact", "key")
    assert cli.refused("fact", "delete", "notice") == ("unknown_fact", "key")
    told = [entry.action for entry in log.list_entries(market.app.uow(), action="fact.")]
    assert told == ["fact.delete", "fact.set", "fact.set"]


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (("a b", "1"), ("invalid_fact_key", "key")),
        (("a", "words"), ("invalid_value", "value")),
        (("a", "NaN"), ("invalid_value", "value")),
        (("a", '"' + "x" * 9_000 + '"'), ("too_large", "value")),
        (("a", "1", "--expires", "soon"), ("invalid_expires", "expires")),
        (("a", "1", "--expect", "-1"), ("invalid_expected", "expected")),
    ],
)
def test_a_fact_that_cannot_be_is_refused_and_not_written(
    cli: Cli, market: Market, arguments: tuple[str, ...], refusal: tuple[str, str]
) -> None:
    assert cli.refused("fact", "set", *arguments) == refusal
    assert "swarmex key" not in cli.run("fact", "set", *arguments).err, "that is about API keys"
    assert cli.json("fact", "list") == []


def test_a_long_value_is_cut_in_the_table_alone(cli: Cli, market: Market) -> None:
    coordination.put_facts(market.app.uow(), utc_now(), "a", [Put("long", "x" * 500)])
    assert "…" in cli.run("fact", "list").out
    assert cli.json("fact", "get", "long")["value"] == "x" * 500


def test_resources_are_listed_with_their_holders_and_taken_from_them(cli: Cli, market: Market) -> None:
    hold = timedelta(minutes=1)
    coordination.acquire(market.app.uow(), utc_now(), "settlement.audit", "settlement-0", hold)
    coordination.acquire(market.app.uow(), utc_now() - 2 * hold, "old", "gone", hold)
    shown = {one["name"]: (one["state"], one["holder"], one["fence"]) for one in cli.json("resource", "list")}
    assert shown == {"settlement.audit": ("held", "settlement-0", 1), "old": ("ran out", "gone", 1)}
    taken = cli.json("resource", "release", "settlement.audit")
    assert taken == {"name": "settlement.audit", "released": True, "holder": "settlement-0", "fence": 1}
    assert [one["state"] for one in cli.json("resource", "list", "settlement.")] == ["free"]
    assert cli.refused("resource", "release", "settlement.audit") == ("resource_free", "resource")
    assert cli.refused("resource", "release", "nothing") == ("unknown_resource", "resource")
    [entry] = log.list_entries(market.app.uow(), action="resource.release")
    assert entry.subject == "resource settlement.audit"


def test_joint_tasks_are_listed_shown_and_cancelled(cli: Cli, market: Market) -> None:
    uow = market.app.uow
    task = joint_tasks.open_task(uow(), utc_now(), "a", TaskWish("sum", (1, 2, 3))).id
    first, second = joint_tasks.claim_parts(uow(), utc_now(), "worker", ["sum"], 2)
    joint_tasks.commit_parts(uow(), utc_now(), [PartResult(first.claim, 7)], [PartFailure(second.claim, "busy")])
    [listed] = cli.json("joint", "list", "--state", "open")
    assert (listed["id"], listed["kind"], listed["parts"]) == (str(task), "sum", 3)
    shown = cli.json("joint", "show", task)
    assert [(part["state"], part["result"], part["error"]) for part in shown["parts"]] == [
        ("done", 7, None),
        ("waiting", None, "busy"),
        ("waiting", None, None),
    ]
    assert cli.json("joint", "cancel", task) == {"id": str(task), "state": "cancelled"}
    assert cli.json("joint", "list", "--state", "open") == []
    assert cli.refused("joint", "cancel", task) == ("joint_decided", "task")
    assert cli.refused("joint", "show", new_id()) == ("unknown_joint_task", "task")
    assert cli.refused("joint", "show", "seven") == ("invalid_task", "task")
    assert "`swarmex joint list`" in cli.run("joint", "show", "seven").err


def test_an_audit_together_says_what_agents_found_and_fails_on_a_difference(cli: Cli, market: Market) -> None:
    who = Identity.of_this_process(AgentId(new_id()), "settlement-0")
    work = {joint_audit.KIND: lambda payload: joint_audit.audit_part(market.app.uow(), payload)}
    worker = JointWorker(market.app, who, work)
    worker.start()
    try:
        fine = cli.json("joint", "audit")
        assert (fine["ok"], fine["found"], fine["figures"]) == (True, 0, len(joint_audit.PARTS))
        assert {part["state"] for part in cli.json("joint", "show", fine["id"])["parts"]} == {"done"}
        with market.app.uow() as uow:
            uow.connection.execute(text("UPDATE ledger_accounts SET posted_nano = posted_nano + 1 WHERE kind = 'fees'"))
            uow.commit()
        wrong = cli.run("joint", "audit", "--json")
        assert (wrong.code, wrong.document["ok"], wrong.document["found"]) == (1, False, 2)
    finally:
        worker.stop()


def test_an_audit_that_nobody_works_on_is_waited_for_no_longer_than_asked(cli: Cli, market: Market) -> None:
    document = cli.json("joint", "audit", "--wait", "0")
    assert document["state"] == "open"
    assert document["next"] == f"swarmex joint show {document['id']}"
    for wait in ("-1", "nan", "4000"):
        assert cli.refused("joint", "audit", "--wait", wait) == ("invalid_wait", "wait")
    assert len(cli.json("joint", "list")) == 1, "nothing is begun that nobody waits for"
