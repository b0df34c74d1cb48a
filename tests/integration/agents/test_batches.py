"""The part of the settlement agent that works on batches: started and stopped with it, and in nobody's way."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from agents import looking
from agents.batches import Batches
from backend.bootstrap import Swarmex, utc_now
from backend.domain.batches import BatchState
from backend.domain.events import Topic
from backend.domain.files import parse_file_name
from backend.services import files
from backend.storage.files import key_of
from tests.integration.receiver import receiving
from tests.integration.services.batching import Batching
from tests.market import Market
from tests.waiting import PATIENCE_S, until


@pytest.fixture
def app(market: Market) -> Iterator[Swarmex]:
    """The market of a process of its own, whose operator lets webhooks be next door."""
    settings = market.app.settings.model_copy(update={"webhook_hosts": "other, 127.0.0.1"})
    wired = Swarmex(settings, market.app.database_url, market.app.redis_url)
    yield wired
    wired.close()


def test_batches_are_worked_on_and_their_ends_told_until_it_is_stopped(
    market: Market, app: Swarmex, tmp_path: Path
) -> None:
    batching = Batching(market, tmp_path)
    with receiving() as receiver:
        working = Batches(app)
        working.start()
        name = batching.submit(["no json"], swarmex_webhook=f"{receiver.url}/hook")
        until(lambda: batching.show(name).batch.state is BatchState.FAILED, "the batch was looked at")
        until(lambda: receiver.got, "its end was told")
        working.stop()
        assert [body["data"]["id"] for body in receiver.bodies] == [name]
        later = batching.submit(["no json"])
        assert batching.show(later).batch.state is BatchState.VALIDATING


def test_a_new_batch_is_looked_at_at_once_however_seldom_nothing_is(
    market: Market, app: Swarmex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "IDLE_S", 10 * PATIENCE_S)
    monkeypatch.setattr(looking, "LATELY_S", 0.0)
    batching = Batching(market, tmp_path)
    working = Batches(app)
    working.start()
    channel = f"{app.settings.bus_namespace}.{Topic.BATCHES_CHANGED}"
    with redis.Redis.from_url(app.redis_url) as bus:
        until(lambda: bus.pubsub_channels(channel), "it found nothing, and listens")
    name = batching.submit(["no json"])
    until(lambda: batching.show(name).batch.state is BatchState.FAILED, "the batch was looked at")
    working.stop()


def test_what_is_to_go_from_the_store_goes(market: Market, app: Swarmex, tmp_path: Path) -> None:
    batching = Batching(market, tmp_path)
    name = batching.file(["no json"])
    stored = app.objects.local_path(key_of(parse_file_name(name)))
    assert stored is not None
    partial = stored.with_name("of-a-killed-writer.part")
    partial.write_bytes(b"half")
    os.utime(partial, (0, 0))
    files.delete_file(app.uow(), utc_now(), name, market.buyer)
    working = Batches(app)
    working.start()
    until(lambda: not partial.exists() and not stored.exists(), "both were removed")
    working.stop()
