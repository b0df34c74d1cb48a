"""The mailboxes of nodes on a real Redis: what is handed back, withdrawn, bounded, and what happens without Redis."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from backend.bootstrap import new_id
from backend.domain.errors import TooLarge
from backend.domain.ids import NodeId
from backend.domain.joining import POLLED
from backend.domain.mail import REQUEST_BYTES_MAX, MailedAnswer, MailedRequest
from backend.domain.tiers import TierName
from backend.domain.urgency import TIER_HEADER, kept_of
from backend.gateway.errors import Busy
from backend.gateway.mail import mailbox as mailbox_module
from backend.gateway.mail.limits import POLLS_PER_NODE_MAX, WAITING_MAX
from backend.gateway.mail.mailbox import Mailbox, MailboxAway
from backend.gateway.mail.polls import MailPolls
from backend.gateway.mail.post import Post
from backend.gateway.routing.node_client import NodeBusy
from tests.own_redis import OwnRedis
from tests.waiting import PATIENCE_S

NODE = NodeId(new_id())
URL = f"{POLLED}{NODE}/v2/models/m/versions/1/infer"
Scenario = Callable[[Post, MailPolls], Awaitable[None]]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stalls for a second is not a Redis that is away."""
    monkeypatch.setattr(mailbox_module, "REDIS_TIMEOUT_S", PATIENCE_S)


def run(redis_url: str, namespace: str, scenario: Scenario) -> None:
    """`scenario` with a gateway's side and, over connections of its own, the side of another process."""

    async def whole() -> None:
        post, other = Post(Mailbox(redis_url, namespace)), Mailbox(redis_url, namespace)
        polls = MailPolls(other)
        try:
            await scenario(post, polls)
        finally:
            await polls.close()
            await other.close()
            await post.close()

    asyncio.run(whole())


def asked(post: Post, body: bytes = b"{}") -> "asyncio.Task[object]":
    """A request under way."""
    return asyncio.create_task(post.post(URL, {}, body, PATIENCE_S))


def answer(request: MailedRequest, body: bytes = b"{}") -> MailedAnswer:
    """A node's answer to it."""
    return MailedAnswer(request.id, 200, None, 5, body)


def test_a_waiting_poll_is_woken_by_the_request(redis_url: str, namespace: str) -> None:
    async def scenario(post: Post, polls: MailPolls) -> None:
        poll = asyncio.create_task(polls.fetch(NODE, 1, PATIENCE_S))
        await asyncio.sleep(0)
        asking = asked(post, b"tensors")
        [request] = await poll
        assert (request.path, request.body) == ("/v2/models/m/versions/1/infer", b"tensors")
        await polls._mailbox.answer(NODE, [answer(request, b"out")])
        got = await asking
        assert (got.status, got.body, got.busy_us) == (200, b"out", 5)  # type: ignore[attr-defined]  # a NodeAnswer

    run(redis_url, namespace, scenario)


def test_a_poll_that_leaves_while_it_fetches_hands_the_requests_back(redis_url: str, namespace: str) -> None:
    async def scenario(post: Post, polls: MailPolls) -> None:
        asking = asked(post)
        held, go_on = asyncio.Event(), asyncio.Event()
        fetch = polls._mailbox.fetch

        async def slowly(node: NodeId, places: int) -> list[MailedRequest]:
            found: list[MailedRequest] = []
            while not found:
                found = await fetch(node, places)
            held.set()
            await go_on.wait()
            return found

        polls._mailbox.fetch = slowly  # type: ignore[method-assign]  # Redis has it, its answer is on its way
        poll = asyncio.create_task(polls.fetch(NODE, 1, PATIENCE_S))
        await held.wait()
        poll.cancel()
        await asyncio.gather(poll, return_exceptions=True)
        go_on.set()
        with pytest.raises(NodeBusy):  # it has not run, so it may run elsewhere
            await asking

    run(redis_url, namespace, scenario)


def test_what_waits_is_bounded_in_bytes_and_a_large_request_still_gets_through(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox_module, "WAITING_BYTES_MAX", 10)

    async def scenario(post: Post, polls: MailPolls) -> None:
        large = MailedRequest("0" * 32, "/v2/models/", None, 60_000, bytes(100))
        assert await post.mailbox.put(NODE, "r", large)
        with pytest.raises(NodeBusy):
            await asked(post, bytes(1))
        [request] = await polls.fetch(NODE, 4, 0.0)
        assert request.body == large.body

    run(redis_url, namespace, scenario)


def test_one_message_carries_so_many_bytes_and_no_more(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox_module, "REQUESTS_BYTES_MAX", 10)

    async def scenario(post: Post, polls: MailPolls) -> None:
        for number in range(3):
            await post.mailbox.put(NODE, "r", MailedRequest(f"{number:032}", "/v2/models/", None, 60_000, bytes(5)))
        first = await polls.fetch(NODE, 16, 0.0)
        assert [len(first), len(await polls.fetch(NODE, 16, 0.0))] == [2, 1]

    run(redis_url, namespace, scenario)


def letter(number: int, tier: TierName) -> MailedRequest:
    return MailedRequest(f"{number:032}", "/v2/models/", None, 60_000, b"{}", None, tier)


def test_larger_tiers_are_fetched_first_and_those_of_one_tier_as_they_came(redis_url: str, namespace: str) -> None:
    async def scenario(post: Post, polls: MailPolls) -> None:
        sent = [letter(9 - number, tier) for number, tier in enumerate([*TierName, *TierName])]
        for one in sent:
            assert await post.mailbox.put(NODE, "r", one)
        fetched = [one for _ in range(4) for one in await polls.fetch(NODE, 2, 0.0)]
        first = sorted(sent, key=lambda one: -list(TierName).index(one.tier))
        assert [(one.id, one.tier) for one in fetched] == [(one.id, one.tier) for one in first]

    run(redis_url, namespace, scenario)


def test_the_tier_of_a_request_travels_with_it(redis_url: str, namespace: str) -> None:
    async def scenario(post: Post, polls: MailPolls) -> None:
        headers = {TIER_HEADER: "enterprise"}
        asking = asyncio.create_task(post.post(URL, headers, b"{}", PATIENCE_S))
        [request] = await polls.fetch(NODE, 1, PATIENCE_S)
        assert request.tier is TierName.ENTERPRISE
        await polls._mailbox.answer(NODE, [answer(request)])
        await asking

    run(redis_url, namespace, scenario)


def test_a_flood_of_one_tier_leaves_the_others_their_places(redis_url: str, namespace: str) -> None:
    async def scenario(post: Post, polls: MailPolls) -> None:
        kept = kept_of(WAITING_MAX)
        waiting = 0
        while await post.mailbox.put(NODE, "r", letter(waiting, TierName.SMALL)):
            waiting += 1
        assert waiting == WAITING_MAX - sum(kept.values()) + kept[TierName.SMALL]
        for number in range(kept[TierName.ENTERPRISE]):
            assert await post.mailbox.put(NODE, "r", letter(1_000 + number, TierName.ENTERPRISE))
        assert not await post.mailbox.put(NODE, "r", letter(2_000, TierName.ENTERPRISE))
        assert [one.tier for one in await polls.fetch(NODE, 1, 0.0)] == [TierName.ENTERPRISE]
        assert await post.mailbox.put(NODE, "r", letter(2_000, TierName.ENTERPRISE))

    run(redis_url, namespace, scenario)


def test_what_has_lapsed_is_not_fetched(redis_url: str, namespace: str) -> None:
    async def scenario(post: Post, polls: MailPolls) -> None:
        await post.mailbox.put(NODE, "r", MailedRequest("0" * 32, "/v2/models/", None, 1, b"{}"))
        await asyncio.sleep(0.05)
        assert await polls.fetch(NODE, 16, 0.0) == []

    run(redis_url, namespace, scenario)


def test_a_node_has_so_many_polls_at_once_and_no_more(redis_url: str, namespace: str) -> None:
    async def scenario(_: Post, polls: MailPolls) -> None:
        waiting = [asyncio.create_task(polls.fetch(NODE, 1, PATIENCE_S)) for _ in range(POLLS_PER_NODE_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await polls.fetch(NODE, 1, PATIENCE_S)
        await polls.close()
        assert await asyncio.gather(*waiting) == [[]] * POLLS_PER_NODE_MAX, "a process that ends answers all"

    run(redis_url, namespace, scenario)


def test_without_redis_requests_fail_at_once_and_work_again_with_it(own_redis: OwnRedis, namespace: str) -> None:
    async def scenario(post: Post, polls: MailPolls) -> None:
        own_redis.kill()
        with pytest.raises(MailboxAway):
            await asked(post)
        with pytest.raises(MailboxAway):
            await polls.fetch(NODE, 1, 0.0)
        own_redis.start()
        poll = asyncio.create_task(polls.fetch(NODE, 1, PATIENCE_S))
        asking = asked(post)
        [request] = await poll
        await polls._mailbox.answer(NODE, [answer(request)])
        await asking

    run(own_redis.url, namespace, scenario)


def test_a_request_above_the_limit_is_refused_before_it_is_left() -> None:
    post = Post.__new__(Post)
    post.check(bytes(REQUEST_BYTES_MAX))
    with pytest.raises(TooLarge):
        post.check(bytes(REQUEST_BYTES_MAX + 1))
