"""The API's application, put together once a process; which market it serves is said before it is served.

To match its first request an application builds all of its routes, a fifth of a second of computing that hundreds of
tests would repeat. What a market's gateway keeps is made anew whenever it is served, as ever.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, cast

from fastapi import FastAPI

from backend.api.app import create_app
from backend.bootstrap import Swarmex

PARTS = ("breakers", "bus", "losses")  # what the application keeps of a market from its making on

served: list[Swarmex] = []


class Current:
    """Stands for whatever `find` gives at the moment."""

    def __init__(self, find: Callable[[], Any]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> Any:
        if name in PARTS:
            return Current(lambda: getattr(self._find(), name))
        return getattr(self._find(), name)


def application(market: Swarmex) -> FastAPI:
    """The application over `market` until it is asked for over another one: for tests that serve one at a time."""
    served[:] = [market]
    made = _made()
    made.state.exposition._figures = None  # they are kept for a second, and those of another market may be
    return made


@cache
def _made() -> FastAPI:
    return create_app(cast(Swarmex, Current(lambda: served[0])))
