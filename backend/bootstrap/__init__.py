"""Composition root: the only reader of the settings, and the only place where things are wired together."""

from backend.bootstrap.clock import utc_now
from backend.bootstrap.collector import calm_collector
from backend.bootstrap.logs import configure_logging
from backend.bootstrap.schema import downgrade, enable_node_login, latest_revision, migrate
from backend.bootstrap.tracing import start_tracing
from backend.bootstrap.wiring import Swarmex, connect, connect_node, revive_servers, settings, stop_servers
from backend.config import Settings
from backend.storage.ids import new_id

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
