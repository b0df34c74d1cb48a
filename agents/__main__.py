"""`python -m agents KIND`: one agent in this process. Imports are late: start-up time is what they cost."""

import argparse
import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING
from uuid import UUID

from agents.leaving import leave
from backend.domain.fleet import AgentKind

if TYPE_CHECKING:
    from agents.base import Agent, Identity
    from backend.bootstrap import Settings

DIRECT = {
    AgentKind.PRICING: ("agents.pricing", "PricingAgent", "moves spot prices with utilisation"),
    AgentKind.ALLOCATION: ("agents.allocation", "AllocationAgent", "clears the markets' open orders"),
    AgentKind.SETTLEMENT: ("agents.settlement", "SettlementAgent", "settles, dispatches and sweeps"),
    AgentKind.TRAINING_ROUND: ("agents.training_round", "TrainingRoundAgent", "drives federated rounds"),
    AgentKind.EXTERNAL: ("agents.external.agent", "ExternalAgent", "stands for nodes that are inference servers"),
    AgentKind.MANAGER: ("agents.manager.agent", "ManagerAgent", "keeps the fleet's agents running"),
}
EPILOG = """
Settings come from the environment (prefix SWARMEX_): SWARMEX_DATABASE_URL and SWARMEX_REDIS_URL, or
SWARMEX_DATA_FOLDER with servers that are up. SWARMEX_AGENT_NAME names the agent, SWARMEX_LOG_LEVEL is
DEBUG, INFO, WARNING or ERROR. With SWARMEX_METRICS_PORT it serves Prometheus at SWARMEX_BIND_HOST.
OTEL_EXPORTER_OTLP_ENDPOINT names the collector of its traces (see docs/observability.md).
An inference agent wants SWARMEX_NODE_DATABASE_URL instead of SWARMEX_DATABASE_URL.
SIGTERM or Ctrl-C: the agent finishes what it has begun and exits with 0.

examples:
  python -m agents settlement
  python -m agents inference --pool fog-a
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the agent until it is told to end: 0 after a drain, 1 if it cannot start, 2 for bad usage."""
    options = _parser().parse_args(argv)
    with _importing():
        from backend import bootstrap
        from backend.domain.errors import SwarmexError

    try:
        bootstrap.configure_logging(bootstrap.settings().log_level)
        return _run(AgentKind(options.kind), options)
    except SwarmexError as error:
        hint = f" ({error.field}: {error.accepted})" if error.field else ""
        sys.stderr.write(f"agents {options.kind}: {error.message}{hint}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m agents",
        description="Start one agent of the swarm in this process.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    for kind, (_, _, does) in DIRECT.items():
        kinds.add_parser(kind, help=does, description=does.capitalize() + ".")
    does = "runs units of work and answers requests"
    inference = kinds.add_parser(AgentKind.INFERENCE, help=does, description=does.capitalize() + ".")
    serves = inference.add_mutually_exclusive_group(required=True)
    serves.add_argument("--node", type=UUID, metavar="NODE_ID", help="serve this one node")
    serves.add_argument("--pool", type=_pool, metavar="NAME", help="serve all nodes of this pool")
    return parser


def _run(kind: AgentKind, options: argparse.Namespace) -> int:
    from agents.base import Identity
    from backend import bootstrap
    from backend.domain.ids import AgentId

    settings = bootstrap.settings()
    agent_id = AgentId(bootstrap.new_id())
    identity = Identity.of_this_process(agent_id, settings.agent_name or f"{kind}-{agent_id.hex[-6:]}")
    with _importing():
        stop_tracing = bootstrap.start_tracing(kind, identity.name)
    try:
        return _serve(kind, options, settings, identity)
    finally:
        stop_tracing()


def _serve(kind: AgentKind, options: argparse.Namespace, settings: "Settings", identity: "Identity") -> int:
    from backend import bootstrap

    if kind == AgentKind.INFERENCE:
        with _importing():
            from agents.inference.launch import launch

        return launch(settings, identity, node=options.node, pool=options.pool)
    if kind == AgentKind.MANAGER and settings.runtime == "process":
        from agents.zygote.own import zygote_of_this_process

        zygote_of_this_process().warm()  # imports while we do, on another core
    module, name, _ = DIRECT[kind]
    with _importing():
        kind_of_agent = getattr(import_module(module), name)
    from agents.exposition import expose

    app = bootstrap.connect(settings, start_servers=False)
    agent: Agent = kind_of_agent(identity, app)
    expose(settings, agent, app.breakers, app.bus.losses)
    return agent.run()


@contextmanager
def _importing() -> Iterator[None]:
    """Imports stay: looking through them for garbage, however rarely, would be a tenth of the start-up (measured)."""
    gc.disable()
    try:
        yield
    finally:
        from backend.bootstrap import calm_collector

        calm_collector()
        gc.enable()


def _pool(name: str) -> str:
    if not name or len(name) > 64 or not all(part.isalnum() for part in name.replace("_", "-").split("-")):
        raise argparse.ArgumentTypeError("1 to 64 letters, digits and dashes")
    return name


if __name__ == "__main__":
    # As if they were not installed: structlog imports the one to print in colour, where an agent prints JSON, and kombu
    # the other for messages that no queue takes. A fifteenth of the start.
    for name in ("rich", "yaml"):
        sys.modules[name] = None  # type: ignore[assignment]  # which is what keeps a module out
    leave(main())
