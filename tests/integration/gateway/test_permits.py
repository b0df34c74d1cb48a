"""The script in Redis does the sums of the domain, and without Redis a process keeps to the limit by itself."""

import asyncio
import time

import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.domain.buckets import PARTS, SHARE, SLOT_SHARE, Ask, Bucket, block, draw, places
from backend.domain.rates import Limits
from backend.gateway.rates.permit_script import PERMITS
from tests.integration.gateway.conftest import Deployment
from tests.own_redis import OwnRedis
from tests.waiting import PATIENCE_S, eventually

LEASE_MS, KEEP_MS = 600_000, 600_000
PER_MINUTE_MAX = 1_000_000_000

asks = st.builds(
    lambda limit, need, least, returned: Ask(limit, need, min(least, max(1, need)), returned),
    st.one_of(st.integers(1, 1_000), st.integers(1, PER_MINUTE_MAX)),
    st.integers(0, 3_000),
    st.integers(1, 3_000),
    st.integers(-5_000, 5_000),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asks=st.tuples(asks, asks),
    permits=st.tuples(st.integers(-2_000, 10_000), st.integers(-2_000, 10_000)),
    age_ms=st.integers(0, 90_000),
    held=st.tuples(st.integers(1, 50), st.integers(0, 60), st.integers(0, 60)),
)
def test_the_script_in_redis_draws_exactly_as_the_domain_does(
    redis_url: str,
    namespace: str,
    asks: tuple[Ask, Ask],
    permits: tuple[int, int],
    age_ms: int,
    held: tuple[int, int, int],
) -> None:
    limit, need, others = held
    key = f"{namespace}.script"
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        seconds, us = client.time()
        at_ms = seconds * 1_000 + us // 1_000 - age_ms
        client.delete(key)
        client.hset(key, mapping={"at": at_ms, "r": permits[0] * PARTS, "t": permits[1] * PARTS})
        client.hset(key, mapping={"p:other": f"{others}:{at_ms + 10**9}", "p:gone": f"1000:{at_ms}"})
        arguments = ["me", LEASE_MS, KEEP_MS, limit, need, PARTS, SHARE, SLOT_SHARE]
        for ask in asks:
            arguments += [ask.per_minute, ask.need, ask.least, ask.returned, block(ask.per_minute)]
        answer = client.eval(PERMITS, 1, key, *arguments)
        kept = client.hgetall(key)
    now_ms = int(kept["at"])
    for field, ask, held_permits, told in zip("rt", asks, permits, (answer[0:3], answer[3:6]), strict=True):
        bucket, drawn = draw(Bucket(held_permits * PARTS, at_ms), ask, now_ms)
        assert told == [drawn.granted, drawn.left, drawn.wait_ms]
        assert int(kept[field]) == bucket.level
    assert answer[6] == places(limit, others if age_ms < 10**9 else 0, need)
    assert kept.get("p:me", "0:").startswith(f"{answer[6]}:")
    assert "p:gone" not in kept or age_ms == 0


def test_a_bucket_that_nobody_remembers_is_full_and_forgets_itself(redis_url: str, namespace: str) -> None:
    key = f"{namespace}.new"
    with redis.Redis.from_url(redis_url) as client:
        arguments = ["me", LEASE_MS, KEEP_MS, 8, 1, PARTS, SHARE, SLOT_SHARE, 60, 60, 60, 0, 0, 60, 61, 61, 0, 0]
        granted, left, wait_ms, none, all_left, token_wait_ms, mine = client.eval(PERMITS, 1, key, *arguments)
        assert (granted, left, wait_ms) == (60, 0, 0)
        assert (none, all_left, token_wait_ms) == (0, 60, 1_000)
        assert mine == 1
        assert 0 < client.pttl(key) <= KEEP_MS


def test_without_redis_a_process_keeps_to_the_limit_by_itself_and_comes_back(
    own_redis: OwnRedis, namespace: str
) -> None:
    deployment = Deployment(own_redis.url, namespace)
    deployment.limits = Limits(60, 1_000_000, 4)

    async def scenario() -> None:
        async with deployment.process() as process:
            permits = process.rates.permits
            started = time.monotonic()
            admitted = [await deployment.ask(process) for _ in range(20)].count("")
            assert (admitted, permits.alone) == (20, False)
            own_redis.kill()
            admitted += [await deployment.ask(process) for _ in range(100)].count("")
            assert process.is_alone()
            assert permits.drawn_alone
            # Neither open nor shut: what was left of the minute is given, and not a full one again.
            assert 60 <= admitted <= 61 + time.monotonic() - started
            own_redis.start()
            deadline = time.monotonic() + PATIENCE_S
            while process.is_alone() and time.monotonic() < deadline:
                await deployment.ask(process)
            assert not process.is_alone()

    asyncio.run(scenario())


def test_a_redis_that_hangs_holds_up_one_draw_and_not_every_request(own_redis: OwnRedis, namespace: str) -> None:
    deployment = Deployment(own_redis.url, namespace)
    deployment.limits = Limits(6_000, 1_000_000, 100)

    async def scenario() -> None:
        async with deployment.process() as process:
            assert await deployment.ask(process) == ""
            own_redis.freeze()
            trips = process.trips
            try:
                assert [await deployment.ask(process) for _ in range(1_000)].count("") == 1_000
                assert process.rates.permits.alone
                assert process.trips - trips <= 1_000 / block(6_000)
            finally:
                own_redis.thaw()

    asyncio.run(scenario())


def test_a_redis_that_was_emptied_costs_a_key_nothing_but_a_new_minute(own_redis: OwnRedis, namespace: str) -> None:
    deployment = Deployment(own_redis.url, namespace)
    deployment.limits = Limits(60, 1_000_000, 4)

    async def scenario() -> None:
        async with deployment.process() as process:
            assert [await deployment.ask(process) for _ in range(30)].count("") == 30
            own_redis.empty()
            with redis.Redis.from_url(own_redis.url) as client:
                client.script_flush()
            assert [await deployment.ask(process) for _ in range(30)].count("") == 30
            assert not process.rates.permits.alone

    asyncio.run(scenario())


def test_places_of_a_process_that_died_are_free_again_after_their_lease(redis_url: str, namespace: str) -> None:
    key = f"{namespace}.died"
    rest = [PARTS, SHARE, SLOT_SHARE, 60, 0, 1, 0, 0, 60, 0, 1, 0, 0]
    with redis.Redis.from_url(redis_url) as client:
        assert client.eval(PERMITS, 1, key, "dead", 1, KEEP_MS, 4, 4, *rest)[6] == 4
        assert eventually(lambda: client.eval(PERMITS, 1, key, "alive", LEASE_MS, KEEP_MS, 4, 4, *rest)[6] == 4)
