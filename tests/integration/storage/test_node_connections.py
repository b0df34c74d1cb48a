"""A node's connections: few, shared by threads, and replaced when the database has dropped them."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import text

from backend.bootstrap.driver import open_connection
from backend.domain.errors import Unavailable
from backend.storage import node_connections
from backend.storage.node_connections import CONNECTIONS_MAX, KEPT_MAX, NodeConnections
from tests.market import Market
from tests.waiting import eventually

PID = "SELECT pg_backend_pid() AS pid"


@pytest.fixture
def opened() -> list[int]:
    """The backends that were asked for."""
    return []


@pytest.fixture
def connections(market: Market, opened: list[int]) -> NodeConnections:
    def connect() -> node_connections.Connection:
        connection = open_connection(market.app.database_url)
        opened.append(connection.info.backend_pid)
        return connection

    return NodeConnections(connect)


def pid(connections: NodeConnections) -> int:
    [row] = connections.rows(PID, {})
    return int(row.pid)


def alive(market: Market, pids: list[int]) -> int:
    with market.app.engine.connect() as connection:
        counted = text("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(:pids)")
        return int(connection.execute(counted, {"pids": pids}).scalar_one())


def test_one_connection_serves_one_statement_after_the_other_also_after_one_that_fails(
    connections: NodeConnections, opened: list[int]
) -> None:
    first = pid(connections)
    with pytest.raises(psycopg.errors.DivisionByZero):
        connections.rows("SELECT 1 / %(zero)s", {"zero": 0})
    assert pid(connections) == first
    assert opened == [first]


def test_each_statement_is_a_transaction_of_its_own(connections: NodeConnections) -> None:
    connections.rows("SELECT set_config('swarmex.noted', 'yes', true)", {})
    assert connections.rows("SELECT current_setting('swarmex.noted', true) AS noted", {})[0].noted in (None, "")


def test_many_threads_share_a_few_connections_of_which_fewer_are_kept(
    connections: NodeConnections, opened: list[int], market: Market
) -> None:
    with ThreadPoolExecutor(16) as pool:
        seen = set(
            pool.map(lambda _: connections.rows("SELECT pg_backend_pid(), pg_sleep(0.01)", {})[0][0], range(200))
        )
    assert seen == set(opened)
    assert eventually(lambda: alive(market, opened) <= KEPT_MAX)
    idle = {pid(connections) for _ in range(10)}
    assert len(idle) <= KEPT_MAX


def test_who_waits_too_long_for_a_connection_is_told_so(
    connections: NodeConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_connections, "WAIT_S", 0.05)
    taken = threading.Barrier(CONNECTIONS_MAX + 1)
    go = threading.Event()
    connect = connections._connect

    def slow() -> node_connections.Connection:
        taken.wait()
        go.wait()
        return connect()

    connections._connect = slow
    with ThreadPoolExecutor(CONNECTIONS_MAX) as pool:
        busy = [pool.submit(pid, connections) for _ in range(CONNECTIONS_MAX)]
        taken.wait()
        with pytest.raises(Unavailable) as refused:
            pid(connections)
        go.set()
        assert len({one.result() for one in busy}) == CONNECTIONS_MAX
    assert refused.value.code == "connections_in_use"


def test_one_that_the_database_dropped_is_replaced(
    connections: NodeConnections, market: Market, opened: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_connections, "PING_AFTER_S", 0.0)
    first = pid(connections)
    with market.app.engine.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": first})
    second = pid(connections)
    assert opened == [first, second]


def test_after_the_end_nothing_stays_open(connections: NodeConnections, market: Market, opened: list[int]) -> None:
    pid(connections)
    connections.close()
    pid(connections)
    assert eventually(lambda: not alive(market, opened))
