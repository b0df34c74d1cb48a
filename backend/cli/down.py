"""Stops everything."""

from backend.cli import deployment, servers
from backend.cli.options import AsJson, examples
from backend.cli.output import emit, notes

EXAMPLES = examples("swarmex down", "SWARMEX_DATA_FOLDER=/srv/market swarmex down --json")


def down(as_json: AsJson = False) -> None:
    """Stop agents and servers.

    Those of this data folder. Work that is under way is finished or handed back; the data stays.
    """
    from backend import bootstrap

    settings = bootstrap.settings()
    with notes().status("stopping"):
        agents = deployment.stop_agents(settings.folder)
        stopped = servers.stop(settings)
    document = {"processes_stopped": agents, "servers_stopped": stopped}
    told = f"Stopped {agents} agents{' and the servers' if stopped else ''} of {settings.folder}."
    emit(as_json, document, told if agents or stopped else f"Nothing ran in {settings.folder}.")
