"""Starts everything and leaves it running."""

from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli import deployment as deployments
from backend.cli import processes
from backend.cli.deployment import Deployment
from backend.cli.fleet import FLEET, GRPC
from backend.cli.grpc import require_servable
from backend.cli.init import KEY_HINT, first_admin_key
from backend.cli.options import AsJson, examples
from backend.cli.output import emit, note, notes, record
from backend.cli.servers import require_free_port
from backend.cli.signals import interruptible
from backend.domain.fleet import AgentKind

if TYPE_CHECKING:
    from backend.bootstrap import Swarmex
    from backend.domain.fleet import FleetSpec

EXAMPLES = examples(
    "swarmex up",
    "SWARMEX_API_PORT=0 swarmex up   # any free port",
    "SWARMEX_GRPC_CERT=server.pem SWARMEX_GRPC_KEY=server.key swarmex up --grpc",
    "swarmex down",
)


def up(
    grpc: Annotated[
        bool,
        typer.Option(
            "--grpc", envvar="SWARMEX_GRPC", help="Also the gRPC face, from now on; `agents remove grpc` ends that."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start servers, API and agents in the background.

    Returns when all are ready. What runs already is left alone.
    """
    from backend import bootstrap
    from backend.services import fleet, nodes

    settings = bootstrap.settings()
    deployment = Deployment(settings)
    if processes.manager_of(settings.folder) is None and not processes.members_of(settings.folder):
        require_free_port(settings)
        if grpc:
            require_servable(settings)
    with interruptible(), notes().status("starting") as status:
        try:
            market = deployment.start_servers()
            secret = first_admin_key(market)
            wanted = fleet.ensure(market.uow(), FLEET, restore=False) + _grpc_wanted(market, asked=grpc)
            deployment.start_manager(market)
            url = deployment.await_ready(market, wanted, lambda done: status.update(f"starting agents: {done}"))
        except KeyboardInterrupt:
            deployment.stop()
            raise
        faces = deployments.endpoints(market, AgentKind.GRPC)
        machines = nodes.list_nodes(market.uow(), bootstrap.utc_now(), None)
        market.close()
    document = {
        "api": url,
        "docs": f"{url}/docs",
        "grpc": faces[0] if faces else None,
        "folder": str(settings.folder),
        "logs": str(deployment.manager_log.parent),
        "agents": sum(spec.replicas for spec in wanted),
        "nodes": len(machines),
        "admin_key": secret,
    }
    emit(as_json, document, record({name: fact for name, fact in document.items() if fact is not None}))
    if not as_json:
        note("Keep the admin key: it is not shown again." if secret else f"{KEY_HINT}.")
        if not machines:
            note("Nobody sells yet: `swarmex demo` brings sample machines and work, `swarmex node register` your own.")
        note("`swarmex down` stops all of it.")


def _grpc_wanted(market: "Swarmex", *, asked: bool) -> "list[FleetSpec]":
    """The gRPC face's entries: the one that is asked for now, or those that were before."""
    from backend.services import fleet

    if asked:
        return fleet.ensure(market.uow(), [GRPC])
    return [spec for spec in fleet.desired(market.uow()) if spec.kind is AgentKind.GRPC]
