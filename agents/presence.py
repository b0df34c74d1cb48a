"""What an agent lets others know of itself, as a fact: which version runs where, and what it takes part in."""

import platform
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from agents.base import Identity
from backend.bootstrap import Swarmex
from backend.domain.coordination import Put
from backend.services import coordination

TELL_EVERY_S = 30.0
TOLD_FOR = timedelta(seconds=3 * TELL_EVERY_S)
PREFIX = "agent."


class Presence:
    """The fact `agent.NAME`, told anew every TELL_EVERY_S; gone soon after its agent, or at once with a goodbye."""

    def __init__(self, app: Swarmex, kind: str, identity: Identity, duties: Sequence[str]) -> None:
        self._app = app
        self._owner = str(identity.agent_id)
        self._key = PREFIX + identity.name
        self._value = {
            "kind": kind,
            "version": _installed(),
            "python": platform.python_version(),
            "host": identity.host,
            "pid": identity.pid,
            "capabilities": list(duties),
        }

    def tell(self, now: datetime) -> bool:
        """Say it again; nothing more is to be done. Another agent of that name keeps the fact until it is gone."""
        coordination.put_facts(self._app.uow(), now, self._owner, [Put(self._key, self._value, TOLD_FOR)])
        return False

    def end(self, now: datetime) -> None:
        """Say goodbye."""
        coordination.delete_facts(self._app.uow(), now, self._owner, [self._key])


@cache
def _installed() -> str | None:
    try:
        return version("swarmex")
    except PackageNotFoundError:  # run from a copy that was never installed
        return None
