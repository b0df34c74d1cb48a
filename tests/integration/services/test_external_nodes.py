"""Servers as nodes: who may name which, what is written down, and how they go and come back."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import BoundedSemaphore
from typing import Any

import pytest

from backend.bootstrap import utc_now
from backend.domain.access import Principal, Role
from backend.domain.errors import Conflict, Forbidden, Invalid, NotFound, SwarmexError, Unavailable
from backend.domain.external_nodes import ServerState
from backend.domain.fleet import AgentKind
from backend.domain.ids import AccountId, AgentId, KeyId, ModelId
from backend.domain.nodes import NodeSpec
from backend.domain.work import AgentBeat
from backend.messaging import server_look
from backend.services import external_nodes, fleet, joining, log, nodes
from backend.services.external_nodes import Checked, ServerNode
from backend.storage.ids import new_id
from tests.integration.api.impostor import READY, Impostor
from tests.market import ASK, Market
from tests.waiting import PATIENCE_S, until

OPERATOR = Principal(None, AccountId(new_id()), Role.ADMIN)
SPEC = NodeSpec("triton", "fog", "north", 4)
URL = "http://10.0.0.5:8000"


def add(market: Market, url: str = URL, spec: NodeSpec = SPEC, by: Principal | None = None, **more: str) -> ServerNode:
    """A server of the market's provider."""
    uow = market.app.uow()
    return external_nodes.add_server(
        uow, utc_now(), market.provider.account_id, spec, url, more.get("credential"), ASK, by
    )


def listed(market: Market) -> list[ServerNode]:
    return external_nodes.list_servers(market.app.uow(), utc_now(), market.provider.account_id)


def alive(market: Market, server: ServerNode) -> None:
    """As its stand-in beats."""
    sign = AgentBeat(
        AgentId(new_id()), "inference", "external/triton", "host", 1, server.node.queue, "http://127.0.0.1:1", "t"
    )
    fleet.beat(market.app.uow(), utc_now(), sign)


@pytest.mark.parametrize(
    "url", ["http://models.example", "http://93.184.215.14", "https://10.0.0.5", "https://127.0.0.1", "https://[::1]"]
)
def test_a_provider_names_only_encrypted_servers_at_public_addresses(market: Market, url: str) -> None:
    provider = Principal(KeyId(new_id()), market.provider.account_id, Role.PROVIDER)
    with pytest.raises(Forbidden) as refusal:
        add(market, url, by=provider)
    assert (refusal.value.code, refusal.value.field) == ("address_not_allowed", "url")
    assert listed(market) == []
    assert add(market, url).server.public_only is False, "the operator names any"


def test_a_providers_server_is_kept_to_public_addresses_whenever_it_is_called(market: Market) -> None:
    provider = Principal(KeyId(new_id()), market.provider.account_id, Role.PROVIDER)
    made = add(market, "https://localhost:8443", by=provider)
    assert made.server.public_only
    checked = external_nodes.check_server(market.app.uow(), utc_now(), made.node.id, provider)
    assert checked.why_down == "the address is not public"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"url": "gpu-1"}, "invalid_server_url"),
        ({"credential": "a\nb"}, "invalid_credential"),
        ({"spec": NodeSpec("Not A Name", "fog", "north", 4)}, "invalid_name"),
        ({"spec": NodeSpec("triton", "fog", "north", 4, "pool")}, "invalid_pool"),
    ],
)
def test_what_cannot_be_a_server_is_refused_and_nothing_is_written(
    market: Market, changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        add(market, **changes)
    assert refusal.value.code == code
    assert listed(market) == []


def test_the_first_server_brings_the_adapter_into_the_fleet_and_the_next_does_not_bring_it_back(market: Market) -> None:
    add(market)
    [entry] = fleet.desired(market.app.uow())
    assert (entry.name, entry.kind, entry.replicas) == ("external", AgentKind.EXTERNAL, 1)
    fleet.remove_entry(market.app.uow(), utc_now(), None, "external")
    add(market, spec=NodeSpec("kserve", "fog", "north", 4))
    assert fleet.desired(market.app.uow()) == []


def test_there_are_only_so_many(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external_nodes, "NODES_MAX", 1)
    add(market)
    with pytest.raises(Conflict) as refusal:
        add(market, spec=NodeSpec("kserve", "fog", "north", 4))
    assert refusal.value.code == "too_many_servers"


def test_a_provider_has_only_so_many_of_them_and_an_admin_any_number(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external_nodes, "PER_ACCOUNT_MAX", 1)
    provider = Principal(KeyId(new_id()), market.provider.account_id, Role.PROVIDER)
    other = Principal(KeyId(new_id()), market.account("other").account_id, Role.PROVIDER)
    add(market, "https://models.example", by=provider)
    second = NodeSpec("kserve", "fog", "north", 4)
    with pytest.raises(Conflict) as refusal:
        add(market, "https://more.example", second, by=provider)
    assert (refusal.value.code, refusal.value.accepted) == ("too_many_servers", "at most 1 of one account at once")
    assert len(listed(market)) == 1
    uow = market.app.uow()
    external_nodes.add_server(uow, utc_now(), other.account_id, SPEC, "https://models.example", principal=other)
    add(market, spec=second, by=OPERATOR)
    assert len(listed(market)) == 2


def test_only_so_many_servers_are_checked_at_once_and_each_that_is_done_makes_room(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_look, "READY_S_MAX", PATIENCE_S)
    monkeypatch.setattr(external_nodes, "_checks", BoundedSemaphore(external_nodes.CHECKS_MAX))

    def check(server: ServerNode) -> Checked:
        return external_nodes.check_server(market.app.uow(), utc_now(), server.node.id, OPERATOR)

    with Impostor() as impostor, ThreadPoolExecutor(external_nodes.CHECKS_MAX) as threads:
        impostor.hanging.add(READY)
        made = add(market, impostor.url)
        running = [threads.submit(check, made) for _ in range(external_nodes.CHECKS_MAX)]
        until(lambda: impostor.asked[READY] == external_nodes.CHECKS_MAX, "they are under way")
        with pytest.raises(Unavailable) as refusal:
            check(made)
        assert (refusal.value.code, refusal.value.accepted) == ("checks_busy", "try again in some seconds")
        impostor.hangs_no_more()
        assert [one.result(PATIENCE_S).why_down for one in running] == [None] * external_nodes.CHECKS_MAX
        impostor.answers[READY] = (500, b"oh")
        for _ in range(external_nodes.CHECKS_MAX + 1):
            assert check(made).why_down == "the server answered 500: oh"


def test_a_check_that_breaks_makes_room_as_well(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    made = add(market)

    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(external_nodes, "ask_ready", broken)
    for _ in range(external_nodes.CHECKS_MAX + 1):
        with pytest.raises(RuntimeError):
            external_nodes.check_server(market.app.uow(), utc_now(), made.node.id, OPERATOR)


def test_a_removed_server_comes_back_only_as_it_was(market: Market) -> None:
    made = add(market, credential="hush")
    with pytest.raises(Conflict):
        add(market)
    gone = external_nodes.remove_server(market.app.uow(), utc_now(), made.node.id, OPERATOR)
    assert (gone.state, gone.ask_nano_per_slot_s) == ("draining", None)
    assert listed(market) == []
    with pytest.raises(NotFound):
        external_nodes.remove_server(market.app.uow(), utc_now(), made.node.id, OPERATOR)
    with pytest.raises(Conflict) as refusal:
        add(market, spec=NodeSpec("triton", "fog", "south", 4))
    assert "region north" in (refusal.value.accepted or "")
    back = add(market, "http://10.0.0.6:8000")
    assert (back.node.id, back.node.state, back.server.credential) == (made.node.id, "active", None)


def test_a_node_that_is_none_has_no_server(market: Market) -> None:
    node = market.node("rack")
    for act in (external_nodes.check_server, external_nodes.remove_server):
        with pytest.raises(SwarmexError) as refusal:
            act(market.app.uow(), utc_now(), node.id, OPERATOR)
        assert refusal.value.code == "unknown_server"
    with pytest.raises(Conflict):
        add(market, spec=NodeSpec("rack", "fog", "north", 1))
    assert nodes.show_node(market.app.uow(), utc_now(), node.id, OPERATOR).ask_nano_per_slot_s == ASK


def test_no_machine_joins_as_a_server(market: Market) -> None:
    made = add(market)
    with pytest.raises(Conflict) as refusal:
        joining.create_token_for(market.app.uow(), utc_now(), made.node.id, timedelta(hours=1), OPERATOR)
    assert refusal.value.code == "node_not_remote"


def test_the_log_tells_of_a_server_and_not_of_its_credential(market: Market) -> None:
    made = add(market, credential="hush-7f3a")
    [entry] = [e for e in log.list_entries(market.app.uow()) if e.action == "node.add_server"]
    assert (entry.subject, entry.details["url"]) == (f"node {made.node.id}", URL)
    assert entry.details["has_credential"] is True
    assert "hush" not in str(entry)
    assert "hush" not in repr(made)


def test_an_order_goes_to_a_server_only_while_that_serves_its_model(market: Market) -> None:
    made = add(market)
    other = market.register("other")
    served = market.model.ref.model_id
    alive(market, made)
    order = market.place()[0]

    def see(*models: ModelId) -> None:
        external_nodes.saw_server(market.app.uow(), utc_now(), made.node.id, ServerState.UP, models=models)
        alive(market, made)
        for _ in order.markets:  # wherever it looks around just now
            market.clear()

    see(other.ref.model_id)
    assert market.show(order).state == "open"
    see()
    assert market.show(order).state == "open"
    see(served)
    assert market.show(order).state == "running"
    assert listed(market)[0].server.models == ("doubling 1",)


def test_an_order_that_only_servers_of_other_models_could_serve_is_told_of_no_need(market: Market) -> None:
    made = add(market, spec=NodeSpec("triton", "fog", "north", 1))
    other = market.register("other")
    seen = [other.ref.model_id]
    external_nodes.saw_server(market.app.uow(), utc_now(), made.node.id, ServerState.UP, models=seen)
    alive(market, made)
    served, unserved = market.place(model="other")[0], market.place()[0]
    for _ in unserved.markets:
        alive(market, made)
        market.clear()
    assert market.show(served).state == "running"
    shown = market.show(unserved)
    assert (shown.state, shown.reason) == ("open", "no_capacity")
    assert not (shown.hint or {}).get("needs")
