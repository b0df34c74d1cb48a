"""What a node may send that it should not: refused with a stable code, or void; never written, never another's."""

import base64
import json
from typing import Any

import pytest
from sqlalchemy import text

from backend.api.limits import BODY_BYTES_MAX
from backend.bootstrap import new_id, utc_now
from backend.domain.ids import AgentId, ItemId
from backend.domain.joining import AGENTS_MAX, MESSAGE_ITEMS_MAX, OVERSTATED_FROM
from backend.domain.money import PPM
from backend.domain.orders import OrderState
from backend.domain.trust import Evidence
from backend.domain.work import PAYLOAD_BYTES_MAX, ItemFailure, ItemResult
from backend.services import log, settlement, trust
from tests.integration.api.counting import rows
from tests.integration.remote.nodes import OUTPUTS, Remote, RemoteNode

ID = str(new_id())
FINE = base64.b64encode(OUTPUTS).decode()
NOT_TEXT = base64.b64encode(b"\xff\xfe").decode()
HOUR_US = 3_600_000_000


def result(**changes: object) -> dict[str, Any]:
    """A commit of one result, right in form, or as changed."""
    return {"results": [{"item": ID, "fence": 1, "busy_us": 1, "outputs": FINE} | changes]}


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "field"),
    [
        ("commit", {"version": 2, **result()}, 422, "unknown_version", "version"),
        ("beat", {"version": 0, "name": "n", "host": "h", "pid": 1}, 422, "unknown_version", "version"),
        ("commit", {"version": "1", **result()}, 422, "invalid_version", "version"),
        ("commit", result(outputs="%%%"), 422, "corrupt_payload", "results[0].outputs"),
        ("commit", result(outputs=FINE[:-3]), 422, "corrupt_payload", "results[0].outputs"),
        (
            "commit",
            result(outputs=NOT_TEXT),
            422,
            "corrupt_payload",
            "results[0].outputs",
        ),
        ("commit", result(outputs=7), 422, "corrupt_payload", "results[0].outputs"),
        ("commit", result(busy_us=-1), 422, "invalid_busy_us", "results[0].busy_us"),
        ("commit", result(busy_us=2**63), 422, "invalid_busy_us", "results[0].busy_us"),
        ("commit", result(busy_us=1.5), 422, "invalid_busy_us", "results[0].busy_us"),
        ("commit", result(fence=-1), 422, "invalid_fence", "results[0].fence"),
        ("commit", result(item="nobody"), 422, "invalid_item", "results[0].item"),
        ("commit", result(charge="1"), 422, "unknown_field", "results[0].charge"),
        ("commit", {"results": None}, 422, "invalid_results", "results"),
        ("commit", {}, 422, "missing_field", "results"),
        ("extend", {"held": [{"item": ID, "fence": 1}] * (MESSAGE_ITEMS_MAX + 1)}, 422, "invalid_held", "held"),
        ("fail", {"failures": [{"item": ID, "fence": 1, "error": "x\0"}]}, 422, "invalid_error", "failures[0].error"),
        ("claim", {"unit": "x"}, 422, "invalid_unit", "unit"),
        ("claim", {"unit": ID, "node": ID}, 422, "unknown_field", "node"),
        ("poll", {"wait_s": 26}, 422, "invalid_wait_s", "wait_s"),
        ("poll", {"wait_s": -1}, 422, "invalid_wait_s", "wait_s"),
        ("beat", {"name": "n\n", "host": "h", "pid": 1}, 422, "invalid_name", "name"),
        ("beat", {"name": "n", "host": "h", "pid": 1, "queue": "node.x"}, 422, "unknown_field", "queue"),
        ("commit", b"\x80\x04not json", 400, "invalid_json", None),
        ("commit", b"[]", 422, "invalid_body", "body"),
    ],
)
def test_a_message_that_is_not_as_agreed_is_refused_and_nothing_written(
    remote: Remote, path: str, body: dict[str, Any] | bytes, status: int, code: str, field: str | None
) -> None:
    node = remote.join()
    before = rows(remote.market.app)
    assert node.send(path, body) == (status, code, field)
    assert rows(remote.market.app) == before


def test_an_oversized_payload_and_an_oversized_message_are_refused(remote: Remote) -> None:
    node = remote.join()
    large = base64.b64encode(b"1" * (PAYLOAD_BYTES_MAX + 3)).decode()
    assert node.send("commit", result(outputs=large)) == (422, "too_large", "results[0].outputs")
    most = base64.b64encode(b"1" * PAYLOAD_BYTES_MAX).decode()
    assert node.send("commit", {"results": result(outputs=most)["results"] * 5}) == (422, "too_large", "results")
    whole = json.dumps(node.message(result(outputs="A" * BODY_BYTES_MAX))).encode()
    assert node.send("commit", whole) == (413, "too_large", "body")
    assert node.poll() == [], "it may go on"


def claimed_by(remote: Remote, node: RemoteNode) -> Any:
    """An item in the hands of a node."""
    remote.market.place(deadline_s=600)
    remote.market.clear()
    [item] = node.claim()
    return item


def test_another_nodes_item_unit_and_agent_have_no_effect(remote: Remote) -> None:
    honest = remote.join("honest")
    item = claimed_by(remote, honest)
    thief = remote.join("thief")
    with remote.market.app.engine.connect() as connection:
        [unit] = connection.execute(text("SELECT unit_id FROM work_items")).scalars()
        before = connection.execute(text("SELECT state, fence, claimed_until FROM work_items")).all()
    assert thief.port.claim(unit) == []
    assert thief.commit([item], 99) == set()
    assert thief.port.fail([ItemFailure(item.item_id, item.fence, "mine")]) == set()
    assert thief.port.extend([(item.item_id, item.fence)]) == set()
    assert thief.port.release([(item.item_id, item.fence)]) == set()
    forged = {"agent": str(honest.agent_id)}
    messages: list[tuple[str, dict[str, Any]]] = [
        ("commit", {"results": [{"item": str(item.item_id), "fence": item.fence, "busy_us": 9, "outputs": FINE}]}),
        ("fail", {"failures": [{"item": str(item.item_id), "fence": item.fence, "error": "x"}]}),
        ("extend", {"held": [{"item": str(item.item_id), "fence": item.fence}]}),
        ("release", {"held": [{"item": str(item.item_id), "fence": item.fence}]}),
        ("claim", {"unit": str(unit)}),
        ("beat", {"name": "n", "host": "h", "pid": 1}),
        ("stopped", {}),
    ]
    for path, body in messages:
        assert thief.send(path, body | forged) == (404, "unknown_agent", "agent"), path
    with remote.market.app.engine.connect() as connection:
        assert connection.execute(text("SELECT state, fence, claimed_until FROM work_items")).all() == before
    assert honest.commit([item]) == {item.item_id}


@pytest.mark.parametrize("outputs", [b"", b"{}", b"[]", b'{"outputs":7}', b'{"outputs":[]}\n{"outputs":[]}'])
def test_outputs_that_are_no_answer_are_not_paid_for(remote: Remote, outputs: bytes) -> None:
    node = remote.join()
    item = claimed_by(remote, node)
    assert set(node.port.commit([ItemResult(item.item_id, item.fence, 5, outputs)])) == set()
    with remote.market.app.engine.connect() as connection:
        told = connection.execute(text("SELECT state, outputs, error FROM work_items")).one()
    assert tuple(told) == ("queued", None, "the node's outputs are no answer")


def test_the_id_of_an_agent_of_the_operators_cannot_be_taken_over(remote: Remote) -> None:
    node = remote.join()
    executor = remote.market.executor()
    told = node.send("beat", {"agent": str(executor.id), "name": "n", "host": "h", "pid": 1})
    assert told == (404, "unknown_agent", "agent")
    with remote.market.app.engine.connect() as connection:
        kept = connection.execute(text("SELECT name, endpoint FROM agents WHERE id = :id"), {"id": executor.id}).one()
    assert tuple(kept) == ("test", "http://127.0.0.1:1")


def test_a_remote_agent_cannot_pass_for_a_member_of_the_fleet(remote: Remote) -> None:
    node = remote.join()
    beat = {"name": "settlement-0", "host": "h", "pid": 1, "work_done": 3, "work_waiting": True, "tick_age_ms": 4}
    assert node.send("beat", beat)[0] == 200
    with remote.market.app.engine.connect() as connection:
        told = connection.execute(text("SELECT DISTINCT name FROM agents ORDER BY name")).scalars().all()
    assert told == ["remote/test"], "an agent keeps the name that it began with, and that says what it is"
    assert node.send("beat", beat | {"agent": str(new_id())})[0] == 200
    with remote.market.app.engine.connect() as connection:
        query = "SELECT name, work_done, work_waiting, tick_age_ms FROM agents WHERE name <> 'remote/test'"
        assert connection.execute(text(query)).all() == [("remote/settlement-0", 3, True, 4)]


def test_a_node_has_so_many_living_agents_and_no_more(remote: Remote) -> None:
    node = remote.join()
    beat = {"name": "n", "host": "h", "pid": 1}
    for _ in range(AGENTS_MAX - 1):
        assert node.send("beat", {"agent": str(new_id()), **beat})[0] == 200
    before = rows(remote.market.app)
    assert node.send("beat", {"agent": str(new_id()), **beat}) == (409, "too_many_agents", "agent")
    assert rows(remote.market.app) == before
    node.port.stopped(node.agent_id)
    assert node.send("beat", {"agent": str(new_id()), **beat})[0] == 200


def test_what_a_lying_node_is_paid_is_bounded_and_its_lies_are_noticed(remote: Remote) -> None:
    liar, market = remote.join(), remote.market
    lies = 4 * OVERSTATED_FROM
    orders = []
    for _ in range(lies):
        [order] = market.place(deadline_s=600)
        market.clear()
        liar.beat()
        items = liar.claim()
        assert len(liar.port.commit([ItemResult(i.item_id, i.fence, HOUR_US, OUTPUTS) for i in items])) == 1
        settlement.settle_finished(market.app.uow(), utc_now())
        orders.append(order)
    with market.app.engine.connect() as connection:
        billed = connection.execute(text("SELECT reported_us, billed_us, us_max FROM work_items")).all()
        told = connection.execute(text("SELECT count FROM trust_events WHERE kind = 'overstated' ORDER BY id"))
        evidence = list(told.scalars())
    assert all(reported == HOUR_US and 0 < charged <= most for reported, charged, most in billed)
    assert all(market.show(order).state is OrderState.SETTLED for order in orders)
    assert evidence == [OVERSTATED_FROM, OVERSTATED_FROM, 2 * OVERSTATED_FROM]
    noticed = log.list_entries(market.app.uow(), subject=f"node {liar.id}", action="node.overstate")
    assert [entry.details["items_today"] for entry in noticed] == [lies, lies // 2, lies // 4]
    assert noticed[0].details["reported_us"] == HOUR_US
    explained = trust.show_trust(market.app.uow(), utc_now(), liar.id, market.provider).explanation
    assert explained is not None
    [against] = [part for part in explained.parts if part.kind is Evidence.OVERSTATED]
    assert (against.buyer, against.count) == (None, lies), "no buyer's influence bounds it"
    assert against.effect_ppm < -PPM // 2, "it costs the node more than half of all trust"


def test_an_honest_node_gets_no_such_evidence(remote: Remote) -> None:
    honest, market = remote.join(), remote.market
    for _ in range(OVERSTATED_FROM + 1):
        market.place(deadline_s=600)
        market.clear()
        honest.beat()
        honest.commit(honest.claim(), busy_us=1)
        settlement.settle_finished(market.app.uow(), utc_now())
    with market.app.engine.connect() as connection:
        kinds = set(connection.execute(text("SELECT kind FROM trust_events")).scalars())
    assert kinds == {Evidence.SERVED}


def test_results_beyond_one_message_travel_in_several(remote: Remote) -> None:
    node = remote.join()
    results = [ItemResult(ItemId(new_id()), 1, 1, b"1" * PAYLOAD_BYTES_MAX) for _ in range(6)]
    assert node.port.commit(results) == set()


def test_an_agents_first_word_must_be_a_beat(remote: Remote) -> None:
    node = remote.join()
    stranger = AgentId(new_id())
    assert node.send("claim", {"agent": str(stranger), "unit": ID}) == (404, "unknown_agent", "agent")
