"""`python -m agents external` as a process: it stands for a server while that answers, and leaves in order."""

import signal
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.fleet import AgentKind
from backend.domain.nodes import NodeSpec
from backend.services import external_nodes
from tests.integration.agents.processes import Start
from tests.integration.api.impostor import READY, Impostor
from tests.market import Market
from tests.waiting import until


@pytest.fixture
def impostor() -> Iterator[Impostor]:
    with Impostor() as server:
        yield server


def standing(market: Market) -> list[tuple[str, str]]:
    """Agents by their names, the last of each, and their states."""
    with market.app.engine.connect() as connection:
        rows = connection.execute(text("SELECT DISTINCT ON (name) name, state FROM agents ORDER BY name, id DESC"))
        return [tuple(row) for row in rows]


def test_it_stands_for_a_server_while_that_answers_and_leaves_in_order(
    market: Market, start: Start, impostor: Impostor
) -> None:
    spec = NodeSpec("triton", "fog", "north", 4)
    external_nodes.add_server(market.app.uow(), utc_now(), market.provider.account_id, spec, impostor.url)
    agent = start(AgentKind.EXTERNAL)
    name = "external/triton"
    until(lambda: (name, "up") in standing(market), "it stands for the server")
    impostor.answers[READY] = (500, b"")
    until(lambda: (name, "stopped") in standing(market), "nobody stands for it")
    impostor.answers[READY] = (200, b"")
    until(lambda: (name, "up") in standing(market), "somebody does again")
    assert agent.stop(signal.SIGTERM) == 0
    assert {state for _, state in standing(market)} == {"stopped"}
    assert agent.events("agent.tick_failed") == []
    assert agent.events("server.turn_failed") == []
