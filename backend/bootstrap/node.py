"""Puts together what a node's process has of a deployment: of the database a few functions, and no table."""

from functools import partial

from backend.bootstrap.configuration import settings
from backend.bootstrap.driver import open_connection
from backend.config import Settings
from backend.domain.errors import Unavailable
from backend.storage.node_connections import NodeConnections
from backend.storage.node_database import NodeDatabase

NODE_ROLE = "swarmex_node"


def connect_node(chosen: Settings | None = None) -> NodeDatabase:
    """The functions that an inference agent may call; it connects when the first is."""
    chosen = chosen or settings()
    if not chosen.node_database_url:
        raise Unavailable(
            "an inference agent needs the node role's database URL",
            code="no_node_database_url",
            field="SWARMEX_NODE_DATABASE_URL",
            accepted=f"the manager sets it; by hand, a URL of the role {NODE_ROLE}",
        )
    return NodeDatabase(NodeConnections(partial(open_connection, chosen.node_database_url)))
