"""Composition root: the only reader of the settings, and the only place where things are wired together.

What is asked for is imported then: a node's process has no use for SQLAlchemy, which is a sixth of its start.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from backend.storage.ids import new_id

if TYPE_CHECKING:
    from backend.bootstrap.clock import utc_now
    from backend.bootstrap.collector import calm_collector
    from backend.bootstrap.configuration import settings
    from backend.bootstrap.logs import configure_logging
    from backend.bootstrap.node import connect_node
    from backend.bootstrap.schema import downgrade, enable_node_login, latest_revision, migrate
    from backend.bootstrap.tracing import start_tracing
    from backend.bootstrap.wiring import Swarmex, connect, revive_servers, stop_servers
    from backend.config import Settings

_WHERE = {
    "Settings": "backend.config",
    "Swarmex": "backend.bootstrap.wiring",
    "calm_collector": "backend.bootstrap.collector",
    "configure_logging": "backend.bootstrap.logs",
    "connect": "backend.bootstrap.wiring",
    "connect_node": "backend.bootstrap.node",
    "downgrade": "backend.bootstrap.schema",
    "enable_node_login": "backend.bootstrap.schema",
    "latest_revision": "backend.bootstrap.schema",
    "migrate": "backend.bootstrap.schema",
    "revive_servers": "backend.bootstrap.wiring",
    "settings": "backend.bootstrap.configuration",
    "start_tracing": "backend.bootstrap.tracing",
    "stop_servers": "backend.bootstrap.wiring",
    "utc_now": "backend.bootstrap.clock",
}

__all__ = [
    "Settings",
    "Swarmex",
    "calm_collector",
    "configure_logging",
    "connect",
    "connect_node",
    "downgrade",
    "enable_node_login",
    "latest_revision",
    "migrate",
    "new_id",
    "revive_servers",
    "settings",
    "start_tracing",
    "stop_servers",
    "utc_now",
]


def __getattr__(name: str) -> object:
    """What is asked for the first time."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_WHERE[name]), name)
    return found
