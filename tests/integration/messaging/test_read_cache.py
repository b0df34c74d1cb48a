"""The shared cache of answers: what each interleaving of readers and an update leaves in it."""

from collections.abc import Callable, Iterator

import pytest
import redis

from backend.messaging.read_cache import BODY_BYTES_MAX, ReadCache
from tests.own_redis import OwnRedis

NAME, WHICH = "digits", "@best"


@pytest.fixture
def cache(redis_url: str, namespace: str) -> Iterator[ReadCache]:
    """An empty cache."""
    made = ReadCache(redis_url, namespace, "models")
    yield made
    made.close()


def fill(cache: ReadCache, revision: int, body: bytes, before: Callable[[], object] = lambda: None) -> None:
    """Look, let something happen, and fill in what was read meanwhile."""
    looked = cache.look(NAME, WHICH)
    assert looked.body is None
    before()
    cache.fill(NAME, WHICH, looked, revision, body)


def test_an_answer_is_kept_for_everybody_until_its_name_changes(cache: ReadCache) -> None:
    fill(cache, 1, b"one")
    assert cache.look(NAME, WHICH).body == b"one"
    assert cache.look(NAME, "").body is None
    assert cache.look("letters", WHICH).body is None
    cache.outdate({"letters": 5})
    assert cache.look(NAME, WHICH).body == b"one"
    cache.outdate({NAME: 2, "id:1": 2})
    fill(cache, 2, b"two")
    assert cache.look(NAME, WHICH).body == b"two"


def test_who_looked_before_an_update_fills_in_nothing_after_it(cache: ReadCache) -> None:
    fill(cache, 1, b"old", lambda: cache.outdate({NAME: 2}))
    assert cache.look(NAME, WHICH).body is None


def test_who_reads_between_the_first_notice_and_the_commit_fills_in_nothing(cache: ReadCache) -> None:
    cache.outdate({NAME: 2})
    fill(cache, 1, b"old")
    assert cache.look(NAME, WHICH).body is None
    fill(cache, 2, b"new")
    assert cache.look(NAME, WHICH).body == b"new"


def test_what_slipped_in_while_redis_forgot_goes_with_the_second_notice(cache: ReadCache, redis_url: str) -> None:
    cache.outdate({NAME: 2})
    redis.Redis.from_url(redis_url).flushdb()
    fill(cache, 1, b"old")
    cache.outdate({NAME: 2})
    assert cache.look(NAME, WHICH).body is None


def test_a_redis_that_forgot_between_look_and_fill_takes_nothing(cache: ReadCache, redis_url: str) -> None:
    fill(cache, 1, b"old", redis.Redis.from_url(redis_url).flushdb)
    assert cache.look(NAME, WHICH).body is None


def test_a_notice_that_comes_late_does_not_lower_the_floor(cache: ReadCache) -> None:
    cache.outdate({NAME: 6})
    cache.outdate({NAME: 5})
    fill(cache, 5, b"old")
    assert cache.look(NAME, WHICH).body is None


def test_two_readers_of_one_moment_both_fill_in(cache: ReadCache) -> None:
    first, second = cache.look(NAME, ""), cache.look(NAME, WHICH)
    assert first.epoch == second.epoch
    cache.fill(NAME, "", first, 1, b"latest")
    cache.fill(NAME, WHICH, second, 1, b"best")
    assert (cache.look(NAME, "").body, cache.look(NAME, WHICH).body) == (b"latest", b"best")


def test_nothing_is_kept_for_ever_and_no_answer_is_huge(cache: ReadCache, redis_url: str, namespace: str) -> None:
    cache.look(NAME, WHICH)
    cache.outdate({"letters": 2})
    fill(cache, 1, b"x" * (BODY_BYTES_MAX + 1))
    assert cache.look(NAME, WHICH).body is None
    client = redis.Redis.from_url(redis_url)
    keys = list(client.scan_iter(f"{namespace}:models:*"))
    assert len(keys) == 2
    assert all(0 < client.ttl(key) <= 30 for key in keys)


def test_without_redis_there_is_nothing_and_nothing_fails(own_redis: OwnRedis, namespace: str) -> None:
    cache = ReadCache(own_redis.url, namespace, "models")
    fill(cache, 1, b"one")
    own_redis.kill()
    for _ in range(5):  # until the breaker is open, and on
        looked = cache.look(NAME, WHICH)
        assert (looked.body, looked.epoch) == (None, None)
        cache.fill(NAME, WHICH, looked, 1, b"one")
    cache.outdate({NAME: 2})
