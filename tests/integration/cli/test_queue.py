"""`swarmex queue`: depths from the database beside Redis', a look at what comes next, a purge that loses nothing."""

from collections.abc import Iterator, Sequence
from uuid import uuid4

import pytest
import redis
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.dead_letters import DeadMessage, DeathReason
from backend.domain.ids import UnitId
from backend.domain.orders import OrderState
from backend.domain.work import ATTEMPTS_MAX, Dispatch, ItemFailure
from backend.messaging.dispatcher import Dispatcher
from backend.messaging.queue_view import SEPARATOR
from backend.messaging.queues import Priority
from backend.services import allocation, log, relay, sweeper
from tests.integration.cli.runner import Cli
from tests.integration.services.clock import in_seconds
from tests.integration.workers import unit
from tests.market import REQUEST, Executor, Market


@pytest.fixture
def dispatcher(redis_url: str) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(redis_url)
    yield dispatcher
    dispatcher.close()


def queued(market: Market, dispatcher: Dispatcher, *tiers: str) -> list[UnitId]:
    """Orders of these tiers, cleared and sent; their units."""
    market.node("a", slots=8, kind="cloud")
    for tier in tiers:
        market.place(tier=tier)
    market.clear()
    sent: list[Dispatch] = []

    def send(dispatches: Sequence[Dispatch]) -> None:
        sent.extend(dispatches)
        dispatcher.send(dispatches)

    relay.relay(market.app.uow(), utc_now(), send)
    return [dispatch.unit_id for dispatch in sent]


def test_depth_shows_the_database_beside_redis(cli: Cli, market: Market, dispatcher: Dispatcher) -> None:
    assert cli.json("queue", "depth") == {"waiting": 0, "redis_answers": True, "queues": []}
    executor = market.executor()
    units = queued(market, dispatcher, "medium", "large")
    [shown] = cli.json("queue", "depth")["queues"]
    assert (shown["queue"], shown["queued"], shown["running"], shown["units"]) == ("pool.pool", 2, 0, len(units))
    assert (shown["sends"], shown["owed"]) == (len(units), 0)
    assert 0 <= shown["oldest_s"] < 60
    assert shown["redis"] == {"urgent": 0, "high": 1, "normal": 1, "low": 0}
    assert executor.database.claim(executor.id, units[0])
    [shown] = cli.json("queue", "depth")["queues"]
    assert (shown["queued"], shown["running"], shown["units"]) == (1, 1, 1)
    assert "pool.pool" in cli.run("queue", "depth").out


def test_depth_tells_how_quick_each_queue_is_and_which_are_crowded_or_idle(cli: Cli, market: Market) -> None:
    market.node("a", slots=2, pool="crowded")
    busy = market.executor("crowded")
    with market.app.uow() as uow:  # items of half a second each
        uow.connection.execute(text("UPDATE models SET us_per_call = 499999, us_per_row = 1"))
        uow.commit()
    market.place(workload="batch", requests=[REQUEST] * 10)
    market.clear()
    market.node("b", pool="idle")
    market.executor("idle")
    busy.beat()
    crowded, idle = cli.json("queue", "depth")["queues"]
    assert [crowded[name] for name in ("queue", "pace", "drain_s", "burden")] == ["pool.crowded", 1.0, 5.0, "crowded"]
    assert [idle[name] for name in ("queue", "pace", "drain_s", "burden")] == ["pool.idle", 1.0, 0.0, "idle"]
    assert idle["queued"] == 0
    shown = cli.run("queue", "depth").out
    assert "5.0 s" in shown
    assert "crowded" in shown.replace("pool.crowded", "")


def test_depth_counts_what_consumers_have_not_acknowledged(cli: Cli, market: Market, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url, socket_timeout=60.0) as client:
        client.hset("unacked", "tag", '[{"body": ""}, "", "pool.p"]')
        client.hset("unacked", "other", "garbage")
    [shown] = cli.json("queue", "depth")["queues"]
    assert (shown["queue"], shown["redis_unacked"], shown["queued"]) == ("pool.p", 1, 0)


def test_depth_works_without_redis_and_says_so(
    cli: Cli, market: Market, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.executor()
    queued(market, dispatcher, "medium")
    monkeypatch.setenv("SWARMEX_REDIS_URL", "redis://127.0.0.1:1/0")
    done = cli.run("queue", "depth", "--json")
    assert done.code == 0
    assert done.document["redis_answers"] is False
    assert [(q["queued"], q["redis"]) for q in done.document["queues"]] == [(1, None)]
    assert "Redis does not answer" in done.err
    for verb in ("peek", "purge"):
        yes = ["--yes"] if verb == "purge" else []
        assert cli.refused("queue", verb, "pool.pool", *yes) == ("redis_unreachable", None)


def test_peek_shows_what_comes_next_and_takes_nothing(
    cli: Cli, market: Market, dispatcher: Dispatcher, redis_url: str
) -> None:
    market.executor()
    units = queued(market, dispatcher, "medium", "large")
    stranger = unit("pool.pool", Priority.LOW)
    dispatcher.send([stranger])
    with redis.Redis.from_url(redis_url, socket_timeout=60.0) as client:
        client.lpush(f"pool.pool{SEPARATOR}{int(Priority.LOW)}", b"garbage")
    shown = cli.json("queue", "peek", "pool.pool")
    assert [message["priority"] for message in shown] == ["high", "normal", "low", "low"]
    assert {shown[0]["unit"], shown[1]["unit"]} == {str(unit) for unit in units}
    assert (shown[0]["queued"], shown[0]["sends"], shown[0]["wrong"]) == (1, 1, None)
    assert (shown[2]["unit"], shown[2]["wrong"].split(":")[0]) == (str(stranger.unit_id), "unknown_unit")
    assert (shown[3]["unit"], shown[3]["wrong"].split(":")[0]) == (None, "corrupt")
    again = cli.json("queue", "peek", "pool.pool", "--limit", "3")
    assert [message["unit"] for message in again] == [message["unit"] for message in shown[:3]]
    assert "unknown_unit" in cli.run("queue", "peek", "pool.pool").out
    assert cli.refused("queue", "peek", "celery") == ("invalid_queue", "queue")
    assert cli.json("queue", "peek", "kind.inference") == []
    assert cli.refused("queue", "peek", "pool.pool", "--limit", "0") == ("invalid_limit", "limit")


def test_a_purge_asks_drops_and_loses_nothing(cli: Cli, market: Market, dispatcher: Dispatcher) -> None:
    executor = market.executor()
    units = queued(market, dispatcher, "medium", "large")
    assert cli.refused("queue", "purge", "pool.pool") == ("confirmation_needed", "--yes")
    assert len(cli.json("queue", "peek", "pool.pool")) == len(units)
    purged = cli.json("queue", "purge", "pool.pool", "--yes")
    assert purged == {"queue": "pool.pool", "dropped": len(units), "sent_again": len(units)}
    assert cli.json("queue", "peek", "pool.pool") == []
    assert cli.json("queue", "purge", "pool.pool", "--yes")["dropped"] == 0
    executor.beat()
    assert sweeper.sweep(market.app.uow(), in_seconds(0)).resent_units == len(units)
    assert {dispatch.unit_id for dispatch in market.dispatched()} == set(units)
    actions = log.list_entries(market.app.uow(), action="queue.purge")
    assert [(entry.subject, entry.details["messages"]) for entry in actions] == [
        ("queue pool.pool", 0),
        ("queue pool.pool", len(units)),
    ]
    assert "Nothing is lost" in cli.run("queue", "purge", "pool.pool", "--yes").out


def test_a_queue_that_cannot_be_is_refused_with_those_that_are(cli: Cli, market: Market, redis_url: str) -> None:
    market.node("a", pool="core")
    for name in ("kind.nosuch", "node.abc", "pool.cor", f"node.{uuid4()}"):
        assert cli.refused("queue", "peek", name) == ("unknown_queue", "queue")
        assert cli.refused("queue", "purge", name, "--yes") == ("unknown_queue", "queue")
        assert "pool.core, kind.inference" in cli.run("queue", "peek", name).err
    assert log.list_entries(market.app.uow(), action="queue.purge") == []
    with redis.Redis.from_url(redis_url, socket_timeout=60.0) as client:
        client.lpush(f"kind.nosuch{SEPARATOR}{int(Priority.LOW)}", b"garbage")
    assert cli.json("queue", "purge", "kind.nosuch", "--yes")["dropped"] == 1, "what is there can be dropped"


def kill(market: Market, executor: Executor) -> None:
    dispatches = market.dispatched()
    for _ in range(ATTEMPTS_MAX):
        for item in executor.claim(dispatches)[:1]:
            executor.database.fail(executor.id, [ItemFailure(item.item_id, item.fence, "the model raised")])


def test_dead_letters_are_listed_shown_retried_and_dropped(cli: Cli, market: Market) -> None:
    market.node("a")
    executor = market.executor()
    [order] = market.place()
    market.clear()
    kill(market, executor)
    dead = DeadMessage(DeathReason.CORRUPT, "not JSON", 7, "ab" * 32, "garbage")
    assert market.node_database.bury(executor.id, "pool.pool", dead)
    letters = cli.json("queue", "dead", "list")
    assert {(letter["kind"], letter["reason"]) for letter in letters} == {("item", "failed"), ("message", "corrupt")}
    [item] = cli.json("queue", "dead", "list", "--kind", "item", "--order", order.id)
    [message] = cli.json("queue", "dead", "list", "--reason", "corrupt", "--queue", "pool.pool")
    assert cli.json("queue", "dead", "show", item["id"]) == item
    assert (item["order"], item["error"], item["excerpt"]) == (str(order.id), "the model raised", None)
    assert (message["excerpt"], message["sha256"]) == ("garbage", "ab" * 32)
    for verb in ("list", "show"):
        shown = cli.run("queue", "dead", verb, *([item["id"]] if verb == "show" else []))
        assert "the model raised" in shown.out
    assert cli.refused("queue", "dead", "retry", message["id"]) == ("letter_not_retriable", "letter")
    assert [letter["resolution"] for letter in cli.json("queue", "dead", "retry", item["id"])] == ["retried"]
    assert cli.refused("queue", "dead", "drop", item["id"]) == ("letter_resolved", "letter")
    assert [letter["resolution"] for letter in cli.json("queue", "dead", "drop", message["id"])] == ["dropped"]
    assert cli.json("queue", "dead", "list") == []
    assert len(cli.json("queue", "dead", "list", "--all")) == 2
    allocation.dispatch_more(market.app.uow(), utc_now())
    executor.commit(executor.claim(market.dispatched()))
    market.settle()
    assert market.show(order).state is OrderState.SETTLED
    assert cli.refused("queue", "dead", "show", uuid4()) == ("unknown_dead_letter", "dead_letter")
    assert cli.refused("queue", "dead", "show", "x") == ("invalid_letter", "letter")


def test_an_item_of_an_ended_order_cannot_be_retried_and_the_next_step_is_told(cli: Cli, market: Market) -> None:
    market.node("a")
    executor = market.executor()
    market.place(requests=[REQUEST])
    market.clear()
    kill(market, executor)
    sweeper.sweep(market.app.uow(), in_seconds(0))
    market.settle()
    [letter] = cli.json("queue", "dead", "list")
    assert cli.refused("queue", "dead", "retry", letter["id"]) == ("order_ended", "letter")
    assert "place the order again" in cli.run("queue", "dead", "retry", letter["id"]).err
