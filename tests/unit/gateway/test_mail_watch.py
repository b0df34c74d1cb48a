"""Requests left for nodes are looked after: whoever falls silent with one does not keep its client waiting."""

import asyncio
from collections.abc import Collection, Sequence

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from backend.bootstrap import new_id
from backend.domain.ids import NodeId
from backend.gateway.mail.limits import SILENT_LOOKS
from backend.gateway.mail.mailbox import Mailbox, MailboxAway
from backend.gateway.mail.metrics import MailMetrics
from backend.gateway.mail.post import Post
from backend.gateway.mail.watch import Watch

ONE, OTHER = NodeId(new_id()), NodeId(new_id())


class Stand:
    """A watch, what it is told, and what it gave up."""

    def __init__(self) -> None:
        self.waits: set[str] = set()
        self.lives: set[NodeId] = {ONE, OTHER}
        self.given_up: list[str] = []
        self.asked: list[Collection[NodeId]] = []
        self.now_s = 0.0
        self.watch = Watch(self._waiting, self._living, self.given_up.append, lambda: self.now_s)

    async def _waiting(self, requests: Sequence[tuple[NodeId, str]]) -> set[str]:
        return {request for _, request in requests} & self.waits

    async def _living(self, nodes: Collection[NodeId]) -> set[NodeId]:
        self.asked.append(nodes)
        return set(nodes) & self.lives

    async def looks(self, count: int) -> None:
        for _ in range(count):
            await self.watch.look()


async def with_two() -> Stand:
    stand = Stand()
    stand.watch.left("a", ONE)
    stand.now_s = 2.0
    stand.watch.left("b", OTHER)
    return stand


def test_only_what_a_silent_node_has_fetched_is_given_up() -> None:
    async def scenario() -> None:
        stand = await with_two()
        stand.waits, stand.lives = {"b"}, set()
        await stand.looks(SILENT_LOOKS)
        assert stand.given_up == ["a"], "the other has not been fetched: it is withdrawn in its own time"
        await stand.looks(SILENT_LOOKS)
        assert stand.given_up == ["a"], "once"
        await stand.watch.close()

    asyncio.run(scenario())


def test_one_look_that_hears_nothing_is_not_enough() -> None:
    async def scenario() -> None:
        stand = await with_two()
        stand.lives = {OTHER}
        await stand.looks(SILENT_LOOKS - 1)
        stand.lives = {ONE, OTHER}
        await stand.looks(1)
        stand.lives = {OTHER}
        await stand.looks(SILENT_LOOKS - 1)
        assert stand.given_up == []
        await stand.looks(1)
        assert stand.given_up == ["a"]
        await stand.watch.close()

    asyncio.run(scenario())


def test_nobody_is_asked_for_what_is_over() -> None:
    async def scenario() -> None:
        stand = await with_two()
        stand.watch.over("a")
        stand.watch.over("b")
        await stand.looks(3)
        assert stand.asked == []
        await stand.watch.close()

    asyncio.run(scenario())


def test_how_many_are_open_and_for_how_long_is_known_by_state() -> None:
    async def scenario() -> None:
        stand = await with_two()
        stand.waits, stand.now_s = {"b"}, 5.0
        await stand.looks(1)
        told = stand.watch.figures()
        assert (told.waiting, told.oldest_waiting_s, told.fetched, told.oldest_fetched_s) == (1, 3.0, 1, 5.0)
        await stand.watch.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [MailboxAway("away"), RuntimeError("unforeseen")])
def test_who_cannot_be_asked_is_asked_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.gateway.mail.watch.WATCH_EVERY_S", 0.0)

    async def scenario() -> None:
        failures, gone = [error, error], asyncio.Event()

        async def waiting(_: Sequence[tuple[NodeId, str]]) -> set[str]:
            if failures:
                raise failures.pop()
            return set()

        async def nobody(_: Collection[NodeId]) -> set[NodeId]:
            return set()

        watch = Watch(waiting, nobody, lambda _: gone.set())
        watch.left("a", ONE)
        await asyncio.wait_for(gone.wait(), 20)
        await watch.close()

    asyncio.run(scenario())


def test_prometheus_can_read_what_became_of_them() -> None:
    async def scenario() -> str:
        post = Post(Mailbox("redis://127.0.0.1:1/0", "test"))
        counts = post.mailbox.counts
        counts.answered, counts.withdrawn, counts.refused, counts.lost, counts.deserted = 5, 4, 3, 2, 1
        counts.fetched, counts.returned = 9, 8
        post.watch.left("a", ONE)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(MailMetrics(post))
        shown = generate_latest(registry).decode()
        await post.close()
        return shown

    shown = text_string_to_metric_families(asyncio.run(scenario()))
    samples = {(s.name, *s.labels.values()): s.value for family in shown for s in family.samples}
    for outcome, count in {"answered": 5, "withdrawn": 4, "refused": 3, "lost": 2, "deserted": 1}.items():
        assert samples["swarmex_mail_requests_total", outcome] == count
    assert samples["swarmex_mail_fetched_total", "fetched"] == 9
    assert samples["swarmex_mail_fetched_total", "returned"] == 8
    assert (samples["swarmex_mail_open", "waiting"], samples["swarmex_mail_open", "fetched"]) == (1, 0)
    assert samples["swarmex_mail_age_seconds", "waiting"] >= 0
