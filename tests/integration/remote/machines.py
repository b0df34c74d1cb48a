"""The real-time side of remote nodes for tests: machines that serve, nodes in the test's hands, and a user who asks."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from agents.engines.onnx import OnnxEngine
from agents.inference.catalogue import Catalogue
from agents.inference.models import LoadedModels
from agents.inference.polled_server import PolledServer
from agents.mail_port import MailPort
from agents.model_cache import ModelCache
from backend.bootstrap import utc_now
from backend.domain.access import Role
from backend.domain.mail import MailedAnswer, MailedRequest, pack_answers, unpack_requests
from backend.services import allocation, api_keys, holds, pricing
from tests.integration.api.callers import TIMEOUT_S
from tests.integration.remote.nodes import Remote, RemoteNode
from tests.market import Market

BEAT_S = 0.5
CLEAR_S = 0.01
INFER = "/v2/models/doubling/infer"
BINARY = {"Content-Type": "application/octet-stream"}


class Serving:
    """Beats of nodes, clearings, and machines that serve, until the block ends."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self._stopped = threading.Event()
        self._servers: list[PolledServer] = []
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._beat, self._clear)]
        self._pool = ThreadPoolExecutor(32)
        self.user = client_of(remote.market, remote.url)

    def __enter__(self) -> Self:
        pricing.reprice(self.remote.market.app.uow(), utc_now())
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for server in self._servers:
            server.stop(0.1)
        for thread in self._threads:
            thread.join(TIMEOUT_S)
        self._pool.shutdown()
        self.user.close()

    def machine(self, folder: Path, name: str = "attic", url: str | None = None, **options: Any) -> RemoteNode:
        """A node that has joined and serves; with `url` it polls there instead."""
        node = self.remote.join(name, **options)
        self.serve(node, folder, url or self.remote.url)
        return node

    def serve(self, node: RemoteNode, folder: Path, url: str) -> PolledServer:
        """What the remote agent does for requests, in this process."""
        models = LoadedModels(ModelCache(folder / str(node.id), node.port), OnnxEngine())
        server = PolledServer(Catalogue(node.port), models, MailPort(url, node.key, node.agent_id))
        self._servers.append(server)
        server.start()
        return server

    def ask(self, *values: float, **options: Any) -> httpx.Response:
        """The gateway's answer to one row."""
        return self.user.post(INFER, json=body(*values), **options)

    def asking(self, *values: float, **options: Any) -> "Future[httpx.Response]":
        """The answer to come, to a request that is under way."""
        return self._pool.submit(lambda: self.ask(*values, **options))

    def _beat(self) -> None:
        while not self._stopped.wait(BEAT_S):
            for node in list(self.remote.nodes):
                node.beat()

    def _clear(self) -> None:
        market = self.remote.market.app
        while not self._stopped.wait(CLEAR_S):
            epoch = allocation.clear_markets(market.uow, utc_now())
            holds.lower(market.uow(), utc_now(), epoch.leased)


def client_of(market: Market, url: str) -> httpx.Client:
    """A client with a key of the buyer's."""
    key = api_keys.create_key(market.app.uow(), utc_now(), market.buyer.account_id, Role.USER, "test")
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key.secret}"}, timeout=TIMEOUT_S)


def body(*values: float) -> dict[str, Any]:
    """A protocol request to the doubling model: one row."""
    row = list(values or (1.0, 2.0))
    return {"inputs": [{"name": "x", "shape": [1, len(row)], "datatype": "FP32", "data": row}]}


def doubled(*values: float) -> bytes:
    """A right answer to it, as a node writes it."""
    data = ",".join(str(2 * value) for value in values or (1.0, 2.0))
    return b'{"outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[' + data.encode() + b"]}]}"


def fetch(node: RemoteNode, wait_s: float = 20.0, places: int = 16) -> list[MailedRequest]:
    """Requests that the node fetches by hand."""
    answer = node.http.post("/api/v1/node/work/requests/poll", json=node.message({"places": places, "wait_s": wait_s}))
    assert answer.status_code == 200, answer.text
    return unpack_requests(answer.content)


def bring(node: RemoteNode, *answers: MailedAnswer) -> int:
    """Bring answers by hand; how many counted."""
    told = node.http.post("/api/v1/node/work/requests/answer", content=pack_answers(answers), headers=BINARY)
    assert told.status_code == 200, told.text
    return int(told.json()["answered"])


def right(request: MailedRequest, *values: float) -> MailedAnswer:
    """The right answer to a request."""
    return MailedAnswer(request.id, 200, None, 7, doubled(*values))
