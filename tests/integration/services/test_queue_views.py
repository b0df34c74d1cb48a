"""Queues are the operator's alone to look at, and a purge touches no other queue."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.errors import Forbidden
from backend.domain.ids import AccountId
from backend.messaging.dispatcher import Dispatcher
from backend.messaging.queue_view import QueueView
from backend.messaging.queues import Priority
from backend.services import queues
from tests.integration.workers import unit
from tests.market import REQUEST, Market

ADMIN = Principal(None, AccountId(new_id()), Role.ADMIN)


@pytest.fixture
def view(redis_url: str) -> Iterator[QueueView]:
    view = QueueView(redis_url)
    yield view
    view.close()


def test_only_admins_see_or_purge_queues(market: Market, view: QueueView) -> None:
    for refused in (
        lambda: queues.depths(market.app.uow(), utc_now(), market.provider, view),
        lambda: queues.peek(market.app.uow(), utc_now(), market.provider, view, "pool.p", 1),
        lambda: queues.purge(market.app.uow(), utc_now(), market.provider, view, "pool.p"),
    ):
        with pytest.raises(Forbidden):
            refused()


def test_a_purge_drops_every_priority_of_one_queue_and_nothing_else(
    market: Market, view: QueueView, redis_url: str
) -> None:
    dispatcher = Dispatcher(redis_url)
    dispatcher.send([unit(queue, priority) for queue in ("pool.p", "pool.pp") for priority in Priority])
    dispatcher.close()
    assert view.held().keys() == {"pool.p", "pool.pp"}
    assert queues.purge(market.app.uow(), utc_now(), ADMIN, view, "pool.p") == (len(Priority), 0)
    [left] = view.held().items()
    assert (left[0], left[1].total) == ("pool.pp", len(Priority))


def test_what_is_owed_and_what_waits_for_room_is_counted(market: Market, view: QueueView) -> None:
    market.node("a")
    market.executor()
    market.place(requests=[REQUEST] * 5, workload="batch")
    market.clear()
    with market.app.engine.begin() as connection:  # as if the lease had no room for two of them
        connection.execute(
            text(
                "UPDATE work_items SET state = 'waiting', unit_id = NULL"
                " WHERE id IN (SELECT id FROM work_items ORDER BY id DESC LIMIT 2)"
            )
        )
    found = queues.depths(market.app.uow(), utc_now(), ADMIN, view)
    [depth] = found.queues
    assert (found.waiting, depth.backlog.queued, depth.backlog.units, depth.backlog.owed) == (2, 3, 1, 1)
    market.dispatched()
    [depth] = queues.depths(market.app.uow(), utc_now(), ADMIN, view).queues
    assert depth.backlog.owed == 0
