"""`python -m agents.inference.remote FILE`: the inference agent of a node that has joined from afar.

FILE is what `swarmex node join` wrote: the coordinator's URL, the node's id and its key. No database, no broker.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog

from agents.base import Identity
from agents.engines.formats import ONNX, Engines
from agents.engines.onnx import OnnxEngine
from agents.inference.agent import InferenceAgent, Train
from agents.inference.models import LoadedModels
from agents.inference.polled_server import PolledServer
from agents.inference.polling import PollingConsumer
from agents.inference.progress import Progress
from agents.inference.runner import UnitReport
from agents.inference.sealing_keys import KeyRing
from agents.inference.training import trained_by
from agents.mail_port import MailPort
from agents.model_cache import ModelCache
from agents.remote_port import RemoteWorkPort
from backend import bootstrap
from backend.domain.errors import Invalid, SwarmexError
from backend.domain.ids import AgentId, UnitId
from backend.domain.joining import remote_queue
from backend.messaging.memory_bus import MemoryBus, MemoryServer
from backend.storage.key_folder import KeyFolder

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who the node is, and to whom."""

    url: str
    node_id: UUID
    name: str
    key: str

    @staticmethod
    def read(path: Path) -> "Credentials":
        """What `swarmex node join` wrote; raises Invalid(`invalid_node_file`)."""
        try:
            told = json.loads(path.read_text())
            return Credentials(str(told["url"]), UUID(told["node_id"]), str(told["name"]), str(told["key"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Invalid(
                f"{path} cannot be read: {error}",
                code="invalid_node_file",
                field="FILE",
                accepted="what `swarmex node join URL --token TOKEN` wrote",
            ) from None


class RemoteAgent(InferenceAgent):
    """An inference agent that is not dialled: it polls for its units, and beside them for requests.

    It hands back what it cannot finish.
    """

    def __init__(
        self,
        identity: Identity,
        port: RemoteWorkPort,
        *,
        node_id: UUID,
        models: LoadedModels,
        mail: MailPort,
        progress: Progress,
        keys: KeyRing | None = None,
        train: Train | None = None,
        leave: bool = False,
    ) -> None:
        def consume(run: Callable[[UnitId], UnitReport]) -> PollingConsumer:
            return PollingConsumer(port, progress.counted(run))

        super().__init__(
            identity,
            port,
            MemoryBus(MemoryServer()),  # it hears nothing; the poll is what wakes it
            queue=remote_queue(node_id),
            models=models,
            consume=consume,
            serve=lambda catalogue, served: PolledServer(catalogue, served, mail),
            keys=keys,
            train=train,
            told=progress.count,
        )
        self._remote = port
        self._leave = leave

    def hand_back(self) -> None:
        """Return what is held, so that it runs elsewhere at once."""
        try:
            released = self._remote.release(self._claims.held())
            log.info("items.handed_back", items=len(released))
        except SwarmexError as error:  # then it lapses
            log.warning("items.not_handed_back", code=error.code)

    def drained(self) -> None:
        super().drained()
        if self._leave:
            try:
                self._remote.leave()
                log.info("offer.withdrawn")
            except SwarmexError as error:
                log.warning("offer.not_withdrawn", code=error.code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the agent until it is told to end: 0 after a drain, 1 if it cannot start or its key is refused."""
    options = _parser().parse_args(argv)
    try:
        return _run(options.file, leave=options.leave)
    except SwarmexError as error:
        sys.stderr.write(f"node: {error.message} ({error.field}: {error.accepted})\n")
        return 1


def _run(path: Path, *, leave: bool) -> int:
    settings = bootstrap.settings()
    progress = Progress(sys.stderr)
    bootstrap.configure_logging("WARNING" if progress.shown and settings.log_level == "INFO" else settings.log_level)
    who = Credentials.read(path)
    identity = Identity.of_this_process(AgentId(bootstrap.new_id()), settings.agent_name or who.name)
    refused: list[bool] = []

    def on_refused() -> None:
        refused.append(True)
        agent.drain()

    port = RemoteWorkPort(who.url, who.key, identity.agent_id, on_refused)
    engine = Engines({ONNX: OnnxEngine()})  # no backends: whose tensors go on from a node is its buyers' business
    models = LoadedModels(ModelCache(settings.cache, port), engine, bytes_max=settings.model_bytes)
    mail = MailPort(who.url, who.key, identity.agent_id, on_refused)
    keys = KeyRing(port, KeyFolder(settings.sealing))
    agent = RemoteAgent(
        identity,
        port,
        node_id=who.node_id,
        models=models,
        mail=mail,
        progress=progress,
        keys=keys,
        train=trained_by(settings, port),
        leave=leave,
    )
    with progress:
        agent.run()
    if refused:
        log.error("node.key_refused", node_id=str(who.node_id), file=str(path))
        sys.stderr.write(
            f"node: the key of node {who.name} is revoked; delete {path} and join again with a new token\n"
        )
    # A poll may still wait in its thread: nothing is held for it, and nothing more is to be done.
    sys.stderr.flush()
    return 1 if refused else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m agents.inference.remote", description="Run the inference agent of a node that has joined."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="what `swarmex node join` wrote")
    parser.add_argument("--leave", action="store_true", help="withdraw the node's offer at the end")
    return parser


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # threads that wait for an answer of the network must not hold up the end
