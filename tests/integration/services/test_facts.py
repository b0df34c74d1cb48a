"""Facts on a real database: each key written by one at a time, bounded, and gone when its time is over."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.coordination import FACTS_PER_OWNER_MAX, PUT_MAX, Put, PutRefusal
from backend.domain.errors import Conflict, Forbidden, Invalid, NotFound
from backend.domain.events import Topic
from backend.domain.ids import AccountId
from backend.services import coordination, log
from backend.services.coordination import delete_facts, expire_facts, get_facts, list_facts, put_facts
from tests.integration.services.clock import in_seconds
from tests.market import Market, Statements
from tests.waiting import PATIENCE_S

ADMIN = Principal(None, AccountId(new_id()), Role.ADMIN)
THREADS = 16
ADDITIONS = 10


def test_a_fact_is_read_as_it_was_written_and_its_version_grows(market: Market) -> None:
    uow, now = market.app.uow, utc_now()
    value = {"list": [1, 2.5, None, "ä"], "on": True}
    first = put_facts(uow(), now, "a", [Put("k", value), Put("other", 1, timedelta(seconds=5))])
    assert first.refused == {}
    found = get_facts(uow(), now, ["k", "other", "nothing"])
    assert found == first.facts
    assert (found["k"].value, found["k"].owner, found["k"].expires_at, found["k"].written_at) == (value, "a", None, now)
    second = put_facts(uow(), now, "a", [Put("k", None, expected=found["k"].version)])
    assert second.facts["k"].version > found["k"].version
    assert put_facts(uow(), now, "a", [Put("k", 3, expected=found["k"].version)]).refused == {"k": PutRefusal.STALE}
    assert coordination.show_fact(uow(), now, "k").value is None


def test_each_fact_is_written_or_refused_by_itself_and_nobody_takes_anothers(market: Market) -> None:
    uow, now = market.app.uow, utc_now()
    put_facts(uow(), now, "a", [Put("k", 1)])
    written = put_facts(uow(), now, "b", [Put("k", 2), Put("new", 3, expected=0), Put("gone", 4, expected=9)])
    assert written.refused == {"k": PutRefusal.OWNED, "gone": PutRefusal.STALE}
    assert list(written.facts) == ["new"]
    assert delete_facts(uow(), now, "b", ["k", "new"]) == 1
    assert [fact.key for fact in list_facts(uow(), now)] == ["k"]


def test_a_fact_written_anew_after_a_delete_is_not_taken_for_the_old_one(market: Market) -> None:
    uow, now = market.app.uow, utc_now()
    old = put_facts(uow(), now, "a", [Put("k", 1)]).facts["k"]
    delete_facts(uow(), now, "a", ["k"])
    put_facts(uow(), now, "a", [Put("k", 2)])
    assert put_facts(uow(), now, "a", [Put("k", 3, expected=old.version)]).refused == {"k": PutRefusal.STALE}


def test_a_fact_whose_time_is_over_is_gone_for_readers_and_free_for_writers_before_it_is_swept(market: Market) -> None:
    uow, now, later = market.app.uow, utc_now(), in_seconds(10)
    put_facts(uow(), now, "a", [*(Put(key, 1, timedelta(seconds=5)) for key in ("short", "also")), Put("k", 1)])
    assert set(get_facts(uow(), later, ["short", "k"])) == {"k"}
    assert [fact.key for fact in list_facts(uow(), later, "s")] == []
    assert put_facts(uow(), later, "b", [Put("short", 2, expected=0)]).refused == {}
    assert expire_facts(uow(), now) == 0
    assert expire_facts(uow(), later) == 1, "the one that was written anew stays"
    assert [fact.key for fact in list_facts(uow(), later)] == ["k", "short"]


def test_facts_are_listed_by_their_beginning_page_by_page(market: Market) -> None:
    uow, now = market.app.uow, utc_now()
    put_facts(uow(), now, "a", [Put(f"agent.{n}", n) for n in range(5)] + [Put("agent_x", 1)])
    first = list_facts(uow(), now, "agent.", limit=3)
    assert [fact.value for fact in first] == [0, 1, 2]
    assert [fact.value for fact in list_facts(uow(), now, "agent.", 3, first[-1].key)] == [3, 4]
    assert list_facts(uow(), now, "agent%") == [], "no pattern"


def test_any_number_of_facts_takes_the_same_statements(market: Market) -> None:
    seen = []
    for count in (1, PUT_MAX):
        with Statements(market.app.engine) as statements:
            put_facts(market.app.uow(), utc_now(), "a", [Put(f"k{n}", n) for n in range(count)])
        seen.append(statements.count)
    assert seen == [4, 4]


def test_of_threads_that_add_by_comparing_versions_none_loses_an_addition(market: Market) -> None:
    begin = Barrier(THREADS)

    def add(_: int) -> None:
        begin.wait()
        done = 0
        while done < ADDITIONS:
            known = get_facts(market.app.uow(), utc_now(), ["sum"]).get("sum")
            value = known.value if known else 0
            assert isinstance(value, int)
            put = Put("sum", value + 1, expected=known.version if known else 0)
            done += not put_facts(market.app.uow(), utc_now(), "all", [put]).refused

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(add, range(THREADS)))
    assert coordination.show_fact(market.app.uow(), utc_now(), "sum").value == THREADS * ADDITIONS


def test_of_owners_that_want_the_same_new_keys_one_gets_each(market: Market) -> None:
    begin = Barrier(THREADS)
    keys = [f"k{number}" for number in range(20)]

    def put(number: int) -> set[str]:
        begin.wait()
        order = keys if number % 2 else keys[::-1]
        written = put_facts(market.app.uow(), utc_now(), f"owner-{number}", [Put(key, number) for key in order])
        return set(written.facts)

    with ThreadPoolExecutor(THREADS) as pool:
        got = list(pool.map(put, range(THREADS)))
    assert sorted(key for keys in got for key in keys) == sorted(keys)


def test_an_owner_cannot_have_more_than_its_limit_however_it_hurries(market: Market) -> None:
    uow, now = market.app.uow, utc_now()
    for start in range(0, FACTS_PER_OWNER_MAX - 10, PUT_MAX - 2):
        count = min(PUT_MAX - 2, FACTS_PER_OWNER_MAX - 10 - start)
        assert not put_facts(uow(), now, "a", [Put(f"k{start + n}", n) for n in range(count)]).refused
    begin = Barrier(4)

    def more(thread: int) -> int:
        begin.wait()
        return len(put_facts(uow(), now, "a", [Put(f"more-{thread}-{n}", n) for n in range(6)]).facts)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(more, range(4))) == 10


def test_changes_are_told_on_the_bus_after_the_commit_and_refusals_are_not(market: Market) -> None:
    uow = market.app.uow
    listening = market.app.bus.subscribe([Topic.FACTS_CHANGED])
    try:
        while not listening.connected:
            listening.wait(0.1)
        put_facts(uow(), utc_now(), "a", [Put("k", 1)])
        put_facts(uow(), utc_now(), "b", [Put("k", 1)])
        delete_facts(uow(), utc_now(), "a", ["k", "never"])
        put_facts(uow(), utc_now(), "a", [Put("last", 1)])
        heard: list[str] = []
        while "last" not in heard:
            events = listening.wait(PATIENCE_S)
            assert events, heard
            heard += [event.key for event in events]
        assert heard == ["k", "k", "last"]
    finally:
        listening.close()


def test_an_admin_sets_and_removes_anybodys_fact_and_is_logged(market: Market) -> None:
    uow, now = market.app.uow, utc_now()
    version = put_facts(uow(), now, "a", [Put("k", 1)]).facts["k"].version
    with pytest.raises(Conflict) as refused:
        coordination.set_fact(uow(), now, ADMIN, Put("k", 2, expected=version + 1))
    assert refused.value.code == "fact_stale"
    assert coordination.set_fact(uow(), now, ADMIN, Put("k", 2, expected=version)).owner == coordination.OPERATOR
    coordination.remove_fact(uow(), now, ADMIN, "k")
    with pytest.raises(NotFound):
        coordination.remove_fact(uow(), now, ADMIN, "k")
    with pytest.raises(NotFound):
        coordination.show_fact(uow(), now, "k")
    told = log.list_entries(uow(), action="fact.")
    assert [(entry.action, entry.subject) for entry in told] == [("fact.delete", "fact k"), ("fact.set", "fact k")]
    user = Principal(None, market.buyer.account_id, Role.PROVIDER)
    for act in (
        lambda: coordination.set_fact(uow(), now, user, Put("k", 2)),
        lambda: coordination.remove_fact(uow(), now, user, "k"),
    ):
        with pytest.raises(Forbidden):
            act()


def test_bad_limits_and_too_many_keys_are_refused(market: Market) -> None:
    with pytest.raises(Invalid):
        list_facts(market.app.uow(), utc_now(), limit=0)
    with pytest.raises(Invalid):
        get_facts(market.app.uow(), utc_now(), [str(n) for n in range(PUT_MAX + 1)])
    with pytest.raises(Invalid):
        put_facts(market.app.uow(), utc_now(), "no owner", [Put("k", 1)])
