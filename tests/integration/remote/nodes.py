"""Remote nodes for tests: they join over HTTP and hold nothing but what that gave them."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx

from agents.remote_port import RemoteWorkPort
from backend.bootstrap import new_id, utc_now
from backend.domain.errors import SwarmexError
from backend.domain.ids import AgentId, NodeId, UnitId
from backend.domain.joining import PROTOCOL, TokenWish
from backend.domain.work import AgentBeat, ClaimedItem, ItemResult
from backend.services import joining
from tests.integration.api.callers import TIMEOUT_S
from tests.market import ASK, Market

OUTPUTS = b'{"outputs":[]}'


@dataclass
class RemoteNode:
    """A node that has joined: its id, its key and its work port."""

    id: NodeId
    key: str
    port: RemoteWorkPort
    http: httpx.Client
    agent_id: AgentId = field(default_factory=lambda: AgentId(new_id()))

    def beat(self) -> bool:
        """Show a sign of life; whether to drain."""
        return self.port.beat(AgentBeat(self.agent_id, "inference", "test", "host", 1)).drain

    def beat_if_known(self) -> None:
        """The same, unless the test has taken its key or the API from it."""
        with suppress(SwarmexError):
            self.beat()

    def poll(self, wait_s: float = 0.0) -> list[UnitId]:
        """Units that wait for it."""
        return self.port.poll(wait_s)

    def claim(self) -> list[ClaimedItem]:
        """All that waits for it."""
        return [item for unit in self.poll() for item in self.port.claim(unit)]

    def commit(self, items: list[ClaimedItem], busy_us: int = 5) -> set[object]:
        """Results for claimed items; those that counted."""
        return set(self.port.commit([ItemResult(i.item_id, i.fence, busy_us, OUTPUTS) for i in items]))

    def send(self, path: str, body: dict[str, Any] | bytes) -> tuple[int, str | None, str | None]:
        """Status, code and field of the answer to a message as it stands."""
        as_json = {"Content-Type": "application/json"}
        content = {"content": body, "headers": as_json} if isinstance(body, bytes) else {"json": self.message(body)}
        answer = self.http.post(f"/api/v1/node/work/{path}", **content)
        error = answer.json()["error"] if not answer.is_success else {"code": None, "field": None}
        return answer.status_code, error["code"], error["field"]

    def message(self, body: dict[str, Any]) -> dict[str, Any]:
        """A message of this agent."""
        return {"version": PROTOCOL, "agent": str(self.agent_id), **body}


class Remote:
    """The API of a market, and the nodes that joined it."""

    def __init__(self, market: Market, url: str) -> None:
        self.market = market
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=TIMEOUT_S)
        self.nodes: list[RemoteNode] = []

    def token(self, slots_max: int = 4, name: str | None = None) -> str:
        """A token of the market's provider, for the market of its other nodes."""
        wish = TokenWish("fog", "north", slots_max, name)
        made = joining.create_token(self.market.app.uow(), utc_now(), self.market.provider.account_id, wish)
        return made.secret

    def ask_to_join(self, token: str, name: str = "attic", **machine: object) -> httpx.Response:
        """The answer to a machine with a token."""
        body = {"version": PROTOCOL, "token": token, "name": name, "slots": 1, **machine}
        return self.http.post("/api/v1/nodes/join", json=body)

    def join(self, name: str = "attic", ask: int | None = ASK, **machine: object) -> RemoteNode:
        """A node that has joined, beats, and has an offer unless `ask` is None."""
        told = self.ask_to_join(self.token(), name, **machine)
        assert told.status_code == 201, told.text
        key, node_id = told.json()["key"], told.json()["node"]["id"]
        http = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT_S)
        agent_id = AgentId(new_id())
        node = RemoteNode(NodeId(UUID(node_id)), key, RemoteWorkPort(self.url, key, agent_id), http, agent_id)
        self.nodes.append(node)
        if ask is not None:
            offered = http.post("/api/v1/node/offer", json={"version": PROTOCOL, "ask": f"{ask / 10**9:.9f}"})
            assert offered.status_code == 201, offered.text
        assert not node.beat()
        self.market.keep_alive(node.beat_if_known)
        return node

    def close(self) -> None:
        """Drop all connections."""
        for node in self.nodes:
            node.port.close()
            node.http.close()
        self.http.close()
