"""Named resources on a real database: one holder at any time, and no write of one that was replaced."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Event, Lock

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.coordination import FenceStale, NamedLease, Put
from backend.domain.errors import Conflict, Forbidden, Invalid, NotFound
from backend.domain.events import Topic
from backend.domain.ids import AccountId
from backend.services import coordination, log
from backend.services.coordination import acquire, acquire_within, put_facts, release, renew, show_fact
from backend.storage.guarded import GuardedUnitOfWork
from tests.integration.services.clock import in_seconds
from tests.market import Market
from tests.waiting import PATIENCE_S

ADMIN = Principal(None, AccountId(new_id()), Role.ADMIN)
HOLD = timedelta(seconds=30)
THREADS = 16
TURNS = 5
HOLDER = """
import sys, time
from datetime import timedelta
from backend.bootstrap import Settings, Swarmex, utc_now
from backend.services.coordination import acquire
from tests.waiting import PATIENCE_S
database, redis, folder = sys.argv[1:]
app = Swarmex(Settings(data_folder=folder, database_url=database, redis_url=redis), database, redis)
print(acquire(app.uow(), utc_now(), "r", "child", timedelta(seconds=30)).fence, flush=True)
time.sleep(60)
"""


def held(lease: NamedLease | None) -> NamedLease:
    assert lease is not None
    return lease


def guarded(market: Market, fence: int) -> GuardedUnitOfWork:
    return GuardedUnitOfWork(market.app.engine, market.app.bus.publish, "r", fence)


def test_a_resource_has_one_holder_until_it_is_released_or_its_time_is_over(market: Market) -> None:
    uow = market.app.uow
    first = held(acquire(uow(), utc_now(), "r", "a", HOLD))
    assert acquire(uow(), utc_now(), "r", "b", HOLD) is None
    assert acquire(uow(), utc_now(), "other", "b", HOLD) is not None, "another resource is another's"
    release(uow(), "r", first.fence)
    second = held(acquire(uow(), utc_now(), "r", "b", HOLD))
    third = held(acquire(uow(), in_seconds(31), "r", "c", HOLD))
    assert [first.fence, second.fence, third.fence] == [1, 2, 3]
    for stale in (lambda: renew(uow(), utc_now(), "r", 2, HOLD), lambda: release(uow(), "r", 2)):
        with pytest.raises(FenceStale):
            stale()
    assert renew(uow(), in_seconds(50), "r", 3, HOLD).expires_at != third.expires_at
    assert acquire(uow(), in_seconds(79), "r", "a", HOLD) is None


def test_of_sixteen_threads_exactly_one_holds_the_resource_at_any_time(market: Market) -> None:
    begin, inside, seen, overlaps = Barrier(THREADS), Lock(), [], []

    def work(number: int) -> None:
        begin.wait()
        for _ in range(TURNS):
            lease = held(acquire_within(market.app.uow, utc_now, "r", f"t-{number}", HOLD, 60, lambda _: None))
            if not inside.acquire(blocking=False):
                overlaps.append(lease)
                continue
            seen.append(lease.fence)
            inside.release()
            release(market.app.uow(), "r", lease.fence)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    assert overlaps == []
    assert seen == list(range(1, THREADS * TURNS + 1)), "fences grow by one with every holder"


def test_of_sixteen_threads_that_find_it_run_out_one_takes_it(market: Market) -> None:
    acquire(market.app.uow(), utc_now(), "r", "gone", HOLD)
    later, begin = in_seconds(31), Barrier(THREADS)

    def take(number: int) -> NamedLease | None:
        begin.wait()
        return acquire(market.app.uow(), later, "r", f"t-{number}", HOLD)

    with ThreadPoolExecutor(THREADS) as pool:
        taken = [lease for lease in pool.map(take, range(THREADS)) if lease]
    assert [lease.fence for lease in taken] == [2]


def test_the_late_write_of_a_holder_that_was_paused_and_replaced_is_refused(market: Market) -> None:
    uow = market.app.uow
    paused = held(acquire(uow(), utc_now(), "r", "paused", HOLD))
    put_facts(guarded(market, paused.fence), utc_now(), "all", [Put("k", "in time")])
    held(acquire(uow(), in_seconds(31), "r", "next", HOLD))
    with pytest.raises(FenceStale):
        put_facts(guarded(market, paused.fence), utc_now(), "all", [Put("k", "too late")])
    assert show_fact(uow(), utc_now(), "k").value == "in time"


def test_a_holder_that_was_too_slow_but_not_replaced_writes(market: Market) -> None:
    slow = held(acquire(market.app.uow(), in_seconds(-60), "r", "slow", HOLD))
    put_facts(guarded(market, slow.fence), utc_now(), "all", [Put("k", 1)])
    assert show_fact(market.app.uow(), utc_now(), "k").value == 1


def test_nobody_takes_over_between_the_check_and_the_commit(market: Market) -> None:
    lease = held(acquire(market.app.uow(), in_seconds(-60), "r", "slow", HOLD))
    with market.app.uow() as uow:
        coordination.check(uow, "r", lease.fence)
        assert acquire(market.app.uow(), utc_now(), "r", "next", HOLD) is None
        uow.commit()
    assert held(acquire(market.app.uow(), utc_now(), "r", "next", HOLD)).fence == 2


def test_a_guarded_write_after_the_release_is_refused(market: Market) -> None:
    lease = held(acquire(market.app.uow(), utc_now(), "r", "a", HOLD))
    release(market.app.uow(), "r", lease.fence)
    with pytest.raises(FenceStale):
        put_facts(guarded(market, lease.fence), utc_now(), "all", [Put("k", 1)])


def test_the_resource_of_a_killed_process_goes_to_another_when_its_time_is_over(
    market: Market, database_url: str, redis_url: str
) -> None:
    command = [sys.executable, "-c", HOLDER, database_url, redis_url, str(market.app.folder)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "1\n"
        os.kill(child.pid, signal.SIGKILL)
        assert acquire(market.app.uow(), utc_now(), "r", "early", HOLD) is None
        assert held(acquire(market.app.uow(), in_seconds(31), "r", "next", HOLD)).fence == 2
    finally:
        child.kill()
        child.wait()


def test_who_waits_gives_up_after_its_time_and_asks_once_at_least(market: Market) -> None:
    acquire(market.app.uow(), utc_now(), "r", "a", HOLD)
    assert acquire_within(market.app.uow, utc_now, "r", "b", HOLD, 0.05) is None
    assert acquire_within(market.app.uow, utc_now, "free", "b", HOLD, 0) is not None


def test_who_waits_on_the_bus_has_the_resource_as_soon_as_it_is_released(market: Market) -> None:
    lease = held(acquire(market.app.uow(), utc_now(), "r", "a", HOLD))
    freed = market.app.bus.subscribe([Topic.RESOURCES_FREED])
    waiting = Event()

    def pause(_: float) -> None:
        waiting.set()
        assert freed.wait(PATIENCE_S), "not woken by the clock"

    try:
        while not freed.connected:
            freed.wait(0.1)
        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(acquire_within, market.app.uow, utc_now, "r", "b", HOLD, PATIENCE_S, pause)
            assert waiting.wait(PATIENCE_S)
            release(market.app.uow(), "r", lease.fence)
            assert held(found.result(PATIENCE_S)).holder == "b"
    finally:
        freed.close()


def test_an_admin_takes_a_resource_away_and_is_logged(market: Market) -> None:
    uow = market.app.uow
    lease = held(acquire(uow(), utc_now(), "r", "a", HOLD))
    assert coordination.take_away(uow(), utc_now(), ADMIN, "r") == lease
    with pytest.raises(FenceStale):
        renew(uow(), utc_now(), "r", lease.fence, HOLD)
    with pytest.raises(Conflict) as refused:
        coordination.take_away(uow(), utc_now(), ADMIN, "r")
    assert refused.value.code == "resource_free"
    with pytest.raises(NotFound):
        coordination.take_away(uow(), utc_now(), ADMIN, "nothing")
    with pytest.raises(Forbidden):
        coordination.take_away(uow(), utc_now(), market.provider, "r")
    [entry] = log.list_entries(uow(), action="resource.release")
    assert (entry.subject, entry.details) == ("resource r", {"holder": "a", "fence": 1})
    assert coordination.list_resources(uow()) == [NamedLease("r", None, 1, None)]
    assert coordination.list_resources(uow(), "x") == []


@pytest.mark.parametrize(("name", "holder", "hold"), [("", "a", HOLD), ("r", "a b", HOLD), ("r", "a", timedelta(0))])
def test_what_cannot_be_held_is_refused(market: Market, name: str, holder: str, hold: timedelta) -> None:
    with pytest.raises(Invalid):
        acquire(market.app.uow(), utc_now(), name, holder, hold)
