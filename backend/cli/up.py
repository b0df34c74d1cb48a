"""Starts everything and leaves it running."""

from backend.cli import processes
from backend.cli.deployment import Deployment
from backend.cli.fleet import FLEET
from backend.cli.init import KEY_HINT, first_admin_key
from backend.cli.options import AsJson, examples
from backend.cli.output import emit, note, notes, record
from backend.cli.servers import require_free_port
from backend.cli.signals import interruptible

EXAMPLES = examples("swarmex up", "SWARMEX_API_PORT=0 swarmex up   # any free port", "swarmex down")


def up(as_json: AsJson = False) -> None:
    """Start servers, API and agents in the background.

    Returns when all are ready. What runs already is left alone.
    """
    from backend import bootstrap
    from backend.services import fleet, nodes

    settings = bootstrap.settings()
    deployment = Deployment(settings)
    if processes.manager_of(settings.folder) is None and not processes.members_of(settings.folder):
        require_free_port(settings)
    with interruptible(), notes().status("starting") as status:
        try:
            market = deployment.start_servers()
            secret = first_admin_key(market)
            wanted = fleet.ensure(market.uow(), FLEET, restore=False)
            deployment.start_manager(market)
            url = deployment.await_ready(market, wanted, lambda done: status.update(f"starting agents: {done}"))
        except KeyboardInterrupt:
            deployment.stop()
            raise
        machines = nodes.list_nodes(market.uow(), bootstrap.utc_now(), None)
        market.close()
    document = {
        "api": url,
        "docs": f"{url}/docs",
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
