"""Private orders on real servers: run by the node that they are sealed to, read by nobody on the way."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from agents.inference.private_items import PrivateItems
from agents.inference.runner import UnitReport, UnitRunner
from agents.inference.sealing_keys import KeyRing
from backend.bootstrap import utc_now
from backend.domain.errors import SwarmexError
from backend.domain.ids import NodeId, OrderId, SealingKeyId
from backend.domain.orders import CloseReason, OrderState
from backend.domain.private_envelope import Envelope
from backend.domain.private_sealing import KeyPair, seal_order
from backend.domain.sealing_keys import (
    CHALLENGE_KEPT,
    PRESENT_FOR,
    SHOWN_EVERY_S,
    UNVERIFIED_MAX,
    HeldKey,
    KeyState,
)
from backend.domain.work import ATTEMPTS_MAX, ItemResult
from backend.services import audit, canaries, orders, sealing_keys, stranded_orders, sweeper
from backend.storage.key_folder import KeyFolder
from backend.storage.private_orders import PrivateOrderRepository
from tests.integration.agents.conftest import Node
from tests.market import Market
from tests.private import (
    ADMIN,
    MARKER,
    SECRET_BODY,
    answers,
    body,
    keys_of,
    leaks_in_database,
    model_of,
    proven,
    seal,
    verified,
    wanted,
)
from tests.waiting import FOREVER_S


class Sealing:
    """An agent of the pool with keys of its own, and what the market does with private orders."""

    def __init__(self, market: Market, node: Node, folder: Path) -> None:
        self.market = market
        self.agent = node
        self.keys = KeyFolder(folder)
        self.ring = KeyRing(node.port, self.keys)
        self.runner = UnitRunner(node.port, node.models, node.claims, private=PrivateItems(self.keys))

    def node(self, name: str, slots: int = 1, **options: object) -> NodeId:
        """A node of the pool, its key verified."""
        node_id = self.market.node(name, slots, **options).id  # type: ignore[arg-type]  # passed through
        verified(self.market, self.ring, node_id)
        return node_id

    def run(self) -> list[UnitReport]:
        """What became of the units that were dispatched."""
        self.market.clear()
        return [self.runner.run(dispatch.unit_id) for dispatch in self.market.dispatched()]

    def held_nano(self) -> int:
        """What the buyer's wallet has set aside."""
        return self.market.wallet().reserved_nano

    def recipients(self) -> int:
        """How many keys orders are known to be sealed to."""
        with self.market.app.engine.connect() as connection:
            return int(connection.execute(text("SELECT count(*) FROM private_recipients")).scalar_one())

    def errors(self) -> set[str | None]:
        """Why items failed."""
        with self.market.app.engine.connect() as connection:
            return set(connection.execute(text("SELECT error FROM work_items")).scalars())


@pytest.fixture
def sealing(market: Market, node: Node, tmp_path: Path) -> Sealing:
    return Sealing(market, node, tmp_path / "keys")


def refusal(market: Market, envelope: Envelope, **changes: object) -> tuple[str, str | None]:
    """Code and field of what `place` says instead of an order."""
    request = market.request(**wanted(market, envelope, **changes))
    with pytest.raises(SwarmexError) as refused:
        orders.place_workload(market.app.uow(), utc_now(), market.buyer, request)
    return refused.value.code, refused.value.field


def test_a_private_order_is_run_by_the_node_it_is_sealed_to_and_its_sender_reads_the_answers(
    sealing: Sealing, market: Market
) -> None:
    market.node("cheaper", ask=900_000)  # of the same pool, and without a verified key
    node_id = sealing.node("trusted")
    envelope, keys = seal(market, keys_of(market, node_id), SECRET_BODY, body((1.0, 2.0), (3.0, 4.0)))
    [order] = market.place(**wanted(market, envelope))
    assert market.show(order).private
    assert leaks_in_database(market.app.engine) == []
    assert [(r.claimed, r.committed) for r in sealing.run()] == [(2, 2)]
    market.settle()
    shown = market.show(order)
    assert (shown.state, shown.reason) == (OrderState.SETTLED, None)
    assert shown.charged_nano > 0
    assert answers(market, order.id, keys) == [[2 * MARKER, 4.0], [2.0, 4.0, 6.0, 8.0]]
    assert leaks_in_database(market.app.engine) == []
    assert audit.audit_ledger(market.app.uow()).ok


def test_what_is_not_private_is_found_by_the_same_search(sealing: Sealing, market: Market) -> None:
    sealing.node("trusted")
    market.place(requests=[SECRET_BODY])
    sealing.run()
    assert leaks_in_database(market.app.engine) == ["work_items.inputs", "work_items.outputs"]


def test_private_items_run_alone_beside_others_of_their_unit(sealing: Sealing, market: Market) -> None:
    node_id = sealing.node("trusted", slots=4)
    envelope, keys = seal(market, keys_of(market, node_id))
    [order] = market.place(**wanted(market, envelope))
    [plain] = market.place(requests=[body((1.0, 1.0))])
    assert sum(report.committed for report in sealing.run()) == 2
    market.settle()
    assert market.show(plain).state is OrderState.SETTLED
    assert answers(market, order.id, keys) == [[2 * MARKER, 4.0]]


def test_a_key_becomes_proven_by_itself_and_verified_by_an_operator_only(sealing: Sealing, market: Market) -> None:
    node_id = market.node("a").id
    key = proven(market, sealing.ring, node_id)
    assert key.state is KeyState.PROVEN
    assert sealing_keys.serving(market.app.uow(), utc_now(), "doubling").keys == []
    envelope, _ = seal(market, [key])
    assert refusal(market, envelope) == ("sealing_key_not_verified", "private.recipients[0].key")
    sealing_keys.verify(market.app.uow(), utc_now(), ADMIN, key.id, key.fingerprint)
    [served] = sealing_keys.serving(market.app.uow(), utc_now(), "doubling", 1, "medium", "north").keys
    assert (served.id, served.state) == (key.id, KeyState.VERIFIED)
    assert sealing_keys.serving(market.app.uow(), utc_now(), "doubling", 1, "enterprise").keys == []
    market.place(**wanted(market, envelope))


def test_who_does_not_have_a_keys_other_half_proves_nothing(sealing: Sealing, market: Market, tmp_path: Path) -> None:
    node_id = market.node("a").id
    stolen = KeyPair.new()
    thief = KeyFolder(tmp_path / "thief")
    sealing.ring.refresh()  # its own is registered
    [own] = keys_of(market, node_id)
    held = sealing.agent.port.show_keys([])[0]
    assert held.state is None
    port = sealing.agent.port
    port.show_keys([HeldKey(node_id, stolen.public)])
    sealing_keys.issue_challenges(market.app.uow(), utc_now())
    [standing] = port.show_keys([HeldKey(node_id, stolen.public, b"a guess")])
    assert (standing.state, len(standing.challenge or b"")) == (KeyState.REGISTERED, 80)
    assert thief.secret(node_id) is None
    assert {key.state for key in keys_of(market, node_id)} == {KeyState.REGISTERED}
    assert own.public != stolen.public


def test_keys_that_are_not_there_or_not_the_markets_are_refused_and_nothing_is_held(
    sealing: Sealing, market: Market
) -> None:
    node_id = sealing.node("trusted")
    [key] = keys_of(market, node_id)
    good, _ = seal(market, [key])
    unknown, _ = seal(market, [replace(key, id=SealingKeyId(UUID(int=7)))])
    assert refusal(market, unknown) == ("unknown_sealing_key", "private.recipients[0].key")
    assert refusal(market, replace(good, nonce=b"")) == ("malformed_envelope", "private.nonce")
    assert refusal(market, replace(good, recipients=[])) == ("malformed_envelope", "private.recipients")
    assert refusal(market, good, requests=[SECRET_BODY]) == ("private_and_plain", "requests")
    assert refusal(market, good, model_version=None) == ("missing_model_version", "model_version")
    assert refusal(market, replace(good, items=[]), workload="batch") == ("invalid_requests", "requests")
    others = market.request().needs
    elsewhere = replace(others, only=(market.node("other").id,))
    assert refusal(market, good, needs=elsewhere) == ("contradictory_needs", "needs.only")
    assert refusal(market, good, needs=replace(others, never=(node_id,))) == ("contradictory_needs", "needs.only")
    huge = replace(good, items=[replace(good.items[0], ciphertext=bytes(1 << 20))])
    assert refusal(market, huge) == ("too_large", "private.items[0].ciphertext")
    assert sealing.held_nano() == 0


def test_the_order_keeps_to_those_of_its_recipients_that_it_may_go_to(sealing: Sealing, market: Market) -> None:
    first, second = sealing.node("a"), sealing.node("b")
    envelope, _ = seal(market, [*keys_of(market, first), *keys_of(market, second)])
    needs = replace(market.request().needs, never=(first,))
    [order] = market.place(**wanted(market, envelope, needs=needs))
    assert order.needs == {"only": [str(second)]}


FAILURES = {
    "another model's file": "it cannot be opened with this node's key, for this model",
    "another node's key": "it cannot be opened with this node's key, for this model",
    "other rows": "it cannot be opened with this node's key, for this model",
    "rows that are not so": "it has other rows than its sender stated",
    "no request": "it does not fit the model's signature",
    "a wrong shape": "it does not fit the model's signature",
    "a reply key that is none": "its reply key is none",
    "a sealed request in it": "it is no request of the protocol",
}


def spoilt(market: Market, node_id: NodeId, kind: str) -> Envelope:
    """A private order that its node must refuse, and only it can tell."""
    [key] = keys_of(market, node_id)
    good = seal(market, [key])[0]
    if kind == "another model's file":
        return seal(market, [key], model=replace(model_of(market), checksum="00" * 32))[0]
    if kind == "another node's key":
        return seal(market, [replace(key, public=KeyPair.new().public)])[0]
    if kind == "other rows":
        return replace(good, items=[replace(good.items[0], rows=2)])
    if kind == "a reply key that is none":
        return _without_reply_key(market, key.id, key.public)
    raw = {
        "rows that are not so": (b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[31337,1]}]}', 2),
        "no request": (b"31337", 1),
        "a wrong shape": (b'{"inputs":[{"name":"31337","shape":[31337],"datatype":"FP32","data":[31337.0]}]}', 1),
        "a sealed request in it": (b'{"private":31337}', 1),
    }[kind]
    return seal_order([raw], model_of(market), {key.id: key.public})[0]


def _without_reply_key(market: Market, key_id: object, public: bytes) -> Envelope:
    """Sealed by somebody who binds a key that nothing can be sealed to."""
    import json

    from nacl.secret import Aead

    from backend.domain import private_sealing as ours
    from backend.domain.private_envelope import Recipient, SealedItem

    secret, nonce, nobody = b"d" * 32, b"n" * 32, bytes(32)
    bound = ours.Binding(model_of(market), nonce, nobody, 1).of(ours._ITEM, 0, 1)
    ciphertext = bytes(Aead(ours._derived(secret, ours._ITEM)).encrypt(json.dumps(SECRET_BODY).encode(), bound))
    recipient = Recipient(key_id, ours.seal_to(public, secret))  # type: ignore[arg-type]  # an id as it came
    return Envelope(nonce, nobody, [recipient], [SealedItem(1, ciphertext)])


@pytest.mark.parametrize("kind", sorted(FAILURES))
def test_what_its_node_cannot_open_or_run_fails_for_a_stated_reason_and_costs_nothing(
    sealing: Sealing, market: Market, kind: str
) -> None:
    node_id = sealing.node("trusted")
    [order] = market.place(**wanted(market, spoilt(market, node_id, kind)))
    for _ in range(ATTEMPTS_MAX):
        assert [(r.claimed, r.failed) for r in sealing.run()] == [(1, 1)]
        sweeper.sweep(market.app.uow(), utc_now())
    market.settle()
    shown = market.show(order)
    assert (shown.state, shown.reason) == (OrderState.FAILED, CloseReason.ATTEMPTS_EXHAUSTED)
    assert (shown.charged_nano, sealing.held_nano()) == (0, 0)
    assert sealing.errors() == {f"private item: {FAILURES[kind]}"}
    assert leaks_in_database(market.app.engine, [b"31337"]) == []
    with market.app.engine.connect() as connection:
        kinds = set(
            connection.execute(text("SELECT kind FROM trust_events WHERE node_id = :n"), {"n": node_id}).scalars()
        )
    assert "failed" not in kinds, "only its sender knows whose fault it is"


def test_an_agent_without_the_nodes_key_says_so(sealing: Sealing, market: Market, node: Node) -> None:
    node_id = sealing.node("trusted")
    market.place(**wanted(market, seal(market, keys_of(market, node_id))[0]))
    market.clear()
    [dispatch] = market.dispatched()
    assert node.runner.run(dispatch.unit_id) == UnitReport(1, 0, 1)
    assert sealing.errors() == {"private item: this agent has no key of the node"}


def test_a_revoked_key_is_given_nothing_any_more_and_its_order_ends_unbilled(sealing: Sealing, market: Market) -> None:
    node_id = sealing.node("trusted")
    [key] = keys_of(market, node_id)
    [order] = market.place(**wanted(market, seal(market, [key])[0]))
    market.clear()
    [dispatch] = market.dispatched()
    sealing_keys.revoke(market.app.uow(), utc_now(), ADMIN, key.id)
    assert sealing.runner.run(dispatch.unit_id) == UnitReport(0, 0, 0)
    assert stranded_orders.release_stranded(market.app.uow(), utc_now()) == 1
    assert stranded_orders.release_stranded(market.app.uow(), utc_now()) == 0
    market.settle()
    shown = market.show(order)
    assert (shown.state, shown.reason) == (OrderState.FAILED, CloseReason.NO_VERIFIED_KEY)
    assert (shown.charged_nano, sealing.held_nano()) == (0, 0)
    assert sealing_keys.serving(market.app.uow(), utc_now(), "doubling").keys == []
    assert refusal(market, seal(market, [key])[0])[0] == "sealing_key_not_verified"


def test_of_a_key_that_has_ended_no_order_that_ended_before_is_remembered(sealing: Sealing, market: Market) -> None:
    node_id = sealing.node("trusted")
    [key] = keys_of(market, node_id)
    market.place(**wanted(market, seal(market, [key])[0]))
    sealing.run()
    market.settle()
    assert stranded_orders.release_stranded(market.app.uow(), utc_now()) == 0
    assert sealing.recipients() == 1
    sealing_keys.revoke(market.app.uow(), utc_now(), ADMIN, key.id)
    assert stranded_orders.release_stranded(market.app.uow(), utc_now()) == 0
    assert sealing.recipients() == 0


def test_what_runs_when_its_key_is_revoked_does_not_count(sealing: Sealing, market: Market) -> None:
    node_id = sealing.node("trusted")
    [key] = keys_of(market, node_id)
    [order] = market.place(**wanted(market, seal(market, [key])[0]))
    market.clear()
    [dispatch] = market.dispatched()
    items = sealing.agent.port.claim(dispatch.unit_id)
    assert len(items) == 1
    sealing_keys.revoke(market.app.uow(), utc_now(), ADMIN, key.id)
    stranded_orders.release_stranded(market.app.uow(), utc_now())
    assert sealing.agent.port.commit([ItemResult(items[0].item_id, items[0].fence, 1, b'{"sealed":"AAAA"}')]) == set()
    market.settle()
    assert market.show(order).charged_nano == 0


@pytest.mark.parametrize("leased", [False, True])
def test_an_order_goes_on_at_the_other_nodes_that_it_is_sealed_to(
    sealing: Sealing, market: Market, leased: bool
) -> None:
    first, second = sealing.node("a", ask=900_000), sealing.node("b")
    [gone] = keys_of(market, first)
    envelope, keys = seal(market, [gone, *keys_of(market, second)])
    [order] = market.place(**wanted(market, envelope))
    if leased:
        market.clear()
        market.dispatched()
    sealing_keys.revoke(market.app.uow(), utc_now(), ADMIN, gone.id)
    assert stranded_orders.release_stranded(market.app.uow(), utc_now()) == 1
    assert market.show(order).needs == {"only": [str(second)]}
    assert sum(report.committed for report in sealing.run()) == 1
    market.settle()
    assert market.show(order).state is OrderState.SETTLED
    assert answers(market, order.id, keys) == [[2 * MARKER, 4.0]]
    assert audit.audit_ledger(market.app.uow()).ok


def test_an_order_whose_key_ended_goes_to_no_node_that_its_buyer_ruled_out(sealing: Sealing, market: Market) -> None:
    ended, kept, never = sealing.node("a"), sealing.node("b"), sealing.node("c")
    [gone] = keys_of(market, ended)
    envelope, _ = seal(market, [gone, *keys_of(market, kept), *keys_of(market, never)])
    needs = replace(market.request().needs, never=(never,))
    [order] = market.place(**wanted(market, envelope, needs=needs))
    sealing_keys.revoke(market.app.uow(), utc_now(), ADMIN, gone.id)
    assert stranded_orders.release_stranded(market.app.uow(), utc_now()) == 1
    assert market.show(order).needs == {"only": [str(kept)]}


def test_a_key_that_ends_while_orders_leave_another_is_found_the_next_time(
    sealing: Sealing, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = sealing.node("a"), sealing.node("b")
    keys = [*keys_of(market, first), *keys_of(market, second)]
    [order] = market.place(**wanted(market, seal(market, keys)[0]))
    sealing_keys.revoke(market.app.uow(), utc_now(), ADMIN, keys[0].id)
    leave = PrivateOrderRepository.leave

    def meanwhile(orders: PrivateOrderRepository, nodes: Mapping[OrderId, Collection[NodeId]]) -> None:
        sealing_keys.revoke(market.app.uow(), utc_now(), ADMIN, keys[1].id)
        leave(orders, nodes)

    with monkeypatch.context() as patch:
        patch.setattr(PrivateOrderRepository, "leave", meanwhile)
        assert stranded_orders.release_stranded(market.app.uow(), utc_now()) == 1
    assert stranded_orders.release_stranded(market.app.uow(), utc_now()) == 1
    market.settle()
    assert market.show(order).reason is CloseReason.NO_VERIFIED_KEY


def test_another_key_of_a_node_serves_only_once_it_is_verified_and_then_alone(
    sealing: Sealing, market: Market, node: Node, tmp_path: Path
) -> None:
    node_id = sealing.node("trusted")
    [old] = keys_of(market, node_id)
    [order] = market.place(**wanted(market, seal(market, [old])[0]))
    moved = KeyRing(node.port, KeyFolder(tmp_path / "moved"))
    new = proven(market, moved, node_id)
    assert new.public != old.public
    assert {key.state for key in keys_of(market, node_id)} == {KeyState.PROVEN, KeyState.VERIFIED}
    assert refusal(market, seal(market, [new])[0])[0] == "sealing_key_not_verified"
    sealing_keys.verify(market.app.uow(), utc_now(), ADMIN, new.id, new.fingerprint)
    states = {key.id: key.state for key in keys_of(market, node_id, ended=True)}
    assert states == {old.id: KeyState.REPLACED, new.id: KeyState.VERIFIED}
    stranded_orders.release_stranded(market.app.uow(), utc_now())
    market.settle()
    assert market.show(order).reason is CloseReason.NO_VERIFIED_KEY


def test_an_agent_whose_key_has_ended_makes_another_which_nobody_verified(sealing: Sealing, market: Market) -> None:
    node_id = sealing.node("trusted")
    [old] = keys_of(market, node_id)
    secret = sealing.keys.secret(node_id)
    sealing_keys.revoke(market.app.uow(), utc_now(), ADMIN, old.id)
    new = proven(market, sealing.ring, node_id)
    assert (new.state, new.public != old.public) == (KeyState.PROVEN, True)
    assert sealing.keys.secret(node_id) not in (None, secret)


def test_answers_of_private_orders_are_not_checked_by_running_them_again(sealing: Sealing, market: Market) -> None:
    node_id = sealing.node("trusted")
    market.place(**wanted(market, seal(market, keys_of(market, node_id))[0]))
    sealing.run()
    market.settle()
    checked = canaries.check(market.app.uow(), utc_now(), ADMIN, market.app.objects, "seed")
    assert checked == canaries.Checked(0, 0, 0)


def test_an_agent_that_cannot_keep_a_key_goes_on_without_one(market: Market, node: Node, tmp_path: Path) -> None:
    market.node("a")
    (tmp_path / "file").touch()
    ring = KeyRing(node.port, KeyFolder(tmp_path / "file"))
    ring.refresh()
    assert sealing_keys.list_keys(market.app.uow(), None) == []


def test_an_agent_shows_its_keys_now_and_then_only(market: Market, node: Node, tmp_path: Path) -> None:
    market.node("a")
    ring = KeyRing(node.port, KeyFolder(tmp_path / "keys"), every_s=FOREVER_S)
    ring.refresh()
    market.node("b")
    ring.refresh()
    assert len(sealing_keys.list_keys(market.app.uow(), None)) == 1


def test_the_figures_of_the_database_are_the_domains() -> None:
    script = (Path(__file__).parents[3] / "migrations" / "sql" / "0005_sealing.sql").read_text()
    assert f"interval '{CHALLENGE_KEPT.total_seconds() / 60:.0f} min'" in script
    assert f"{UNVERIFIED_MAX} > (SELECT count(*)" in script
    assert SHOWN_EVERY_S < 5 < PRESENT_FOR.total_seconds(), "what it notes of a key is not too old for who lists it"
