"""Reads of models through the shared cache: what they cost, and that none is ever older than the last update."""

import multiprocessing
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from backend.bootstrap import Settings, Swarmex, utc_now
from backend.domain.errors import NotFound
from backend.domain.ids import ModelId
from backend.messaging.read_cache import Looked, ReadCache
from backend.services import model_changes, model_reads
from backend.storage.ids import new_id
from backend.storage.models import Model
from tests.integration.services.registering import register
from tests.market import Market, Statements
from tests.own_redis import OwnRedis
from tests.waiting import PATIENCE_S

UPDATES = 60
READERS = 3  # threads of each process
PROCESSES = 2


def render(model: Model) -> bytes:
    """Enough of a model to tell how old it is."""
    return f"{model.ref.version} {model.description or 0}".encode()


def read(app: Swarmex, reference: str = "doubling", version: int | None = None) -> bytes:
    """What the API would answer."""
    return model_reads.show_model(app.uow(), app.model_cache, reference, version, render)


@contextmanager
def commands(url: str) -> Iterator[Counter[str]]:
    """Counts what Redis is asked while this is entered."""
    client = redis.Redis.from_url(url, decode_responses=True)
    before: dict[str, Any] = client.info("commandstats")
    counted: Counter[str] = Counter()
    yield counted
    for name, facts in client.info("commandstats").items():
        more = facts["calls"] - before.get(name, {"calls": 0})["calls"]
        if more and name in ("cmdstat_evalsha", "cmdstat_eval"):
            counted[name.removeprefix("cmdstat_")] = more


def test_a_cached_read_costs_one_round_trip_and_no_statement(market: Market, own_redis: OwnRedis) -> None:
    app, uncached, cached = market.app, 2, 1
    app.model_cache = ReadCache(own_redis.url, app.settings.bus_namespace, "models")  # nobody else asks that one
    read(app), read(app, "doubling", 1)  # the scripts are known by now
    app.model_cache.outdate({"doubling": 1})
    by_id = ModelId(market.model.ref.model_id)
    asks: list[Callable[[], bytes]] = [
        lambda: read(app),
        lambda: read(app, "doubling", 1),
        lambda: model_reads.show_by_id(app.uow(), app.model_cache, by_id, render),
    ]
    for ask in asks:
        for trips, statements in ((uncached, 1), (cached, 0), (cached, 0)):
            with Statements(app.engine) as sent, commands(own_redis.url) as asked:
                assert ask() == b"1 0"
            assert (sent.count, asked.total()) == (statements, trips)


def test_every_change_is_seen_by_every_way_of_asking(market: Market, tmp_path: Path) -> None:
    app, now = market.app, utc_now()
    model_changes.set_alias(app.uow(), now, None, "doubling", "best", 1)
    by_id = ModelId(market.model.ref.model_id)
    asks: dict[str, Callable[[], bytes]] = {
        "latest": lambda: read(app),
        "alias": lambda: read(app, "doubling@best"),
        "version": lambda: read(app, "doubling", 1),
        "id": lambda: model_reads.show_by_id(app.uow(), app.model_cache, by_id, render),
    }
    assert {ask() for ask in asks.values()} == {b"1 0"}
    model_changes.describe(app.uow(), now, None, "doubling", 1, "7")
    assert {ask() for ask in asks.values()} == {b"1 7"}
    register(market, tmp_path, "doubling", 3.0)
    model_changes.set_alias(app.uow(), now, None, "doubling", "best", 2)
    assert [ask() for ask in asks.values()] == [b"2 0", b"2 0", b"1 7", b"1 7"]
    model_changes.delete_model(app.uow(), now, None, "doubling", 1)
    with pytest.raises(NotFound):
        asks["version"]()
    assert asks["id"]() == b"1 7", "old orders refer to it"
    with pytest.raises(NotFound):
        model_reads.show_by_id(app.uow(), app.model_cache, ModelId(new_id()), render)


def test_a_rolled_back_change_leaves_what_was(market: Market) -> None:
    app = market.app
    assert read(app) == b"1 0"
    with app.uow() as uow:
        uow.models.write(market.model.ref.model_id, description="5")
        uow.outdate("doubling", uow.models.touch("doubling", None))
    assert read(app) == b"1 0"


def test_with_redis_away_reads_and_changes_go_to_the_database(market: Market, own_redis: OwnRedis) -> None:
    settings = market.app.settings.model_copy(update={"redis_url": own_redis.url})
    app = Swarmex(settings, market.app.database_url, own_redis.url)
    try:
        assert read(app) == read(app) == b"1 0"
        own_redis.kill()
        with Statements(app.engine) as statements:
            assert [read(app) for _ in range(4)] == [b"1 0"] * 4
        assert statements.count == 4
        model_changes.describe(app.uow(), utc_now(), None, "doubling", 1, "1")
        assert read(app) == b"1 1"
        own_redis.start()
        assert read(app) == b"1 1"
    finally:
        app.close()


def _reading(settings: Settings, newest: Any, ready: Any, over: Any, errors: Any) -> None:
    """A process of readers, each of whom knows what had been acknowledged when it began to ask."""
    app = Swarmex(settings, str(settings.database_url), str(settings.redis_url))

    def go_on() -> None:
        while not over.is_set():
            acknowledged = newest.value
            seen = int(read(app).split()[1])
            if seen < acknowledged:
                errors.put((seen, acknowledged))
            ready.release()

    threads = [threading.Thread(target=go_on) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    app.close()


def test_no_reader_of_any_process_sees_what_was_before_an_acknowledged_update(market: Market) -> None:
    context = multiprocessing.get_context("spawn")
    newest, ready, over, errors = context.Value("i", 0), context.Semaphore(0), context.Event(), context.Queue()
    settings = market.app.settings
    readers = [context.Process(target=_reading, args=(settings, newest, ready, over, errors)) for _ in range(PROCESSES)]
    for reader in readers:
        reader.start()
    client = redis.Redis.from_url(market.app.redis_url)
    try:
        for _ in range(PROCESSES * READERS):
            assert ready.acquire(timeout=PATIENCE_S)
        for number in range(1, UPDATES + 1):
            model_changes.describe(market.app.uow(), utc_now(), None, "doubling", 1, str(number))
            newest.value = number
            if number % 10 == 0:  # Redis is disposable, at any moment
                client.flushdb()
            assert ready.acquire(timeout=PATIENCE_S)
    finally:
        over.set()
        for reader in readers:
            reader.join(PATIENCE_S)
    assert errors.empty(), errors.get()


def test_the_race_is_real_a_cache_that_takes_all_answers_shows_old_ones(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = market.app
    monkeypatch.setattr(ReadCache, "look", lambda *_: Looked(None, b"any"))
    put: list[tuple[int, bytes]] = []
    monkeypatch.setattr(ReadCache, "fill", lambda *given: put.append((given[-2], given[-1])))

    def late(model: Model) -> bytes:
        model_changes.describe(app.uow(), utc_now(), None, "doubling", 1, "9")
        return render(model)

    model_reads.show_model(app.uow(), app.model_cache, "doubling", None, late)
    [(revision, body)] = put
    assert body == b"1 0"
    with app.uow() as uow:
        assert revision < uow.models.touch("doubling", None) - 1, "what was read before the update says so"
