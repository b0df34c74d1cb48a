"""PostgreSQL and Redis of the suite's own: to be crashed, emptied and brought back."""

import signal
from types import TracebackType
from typing import Self

import psutil

from backend import embedded
from backend.embedded import daemon, places
from tests.own_redis import OwnRedis
from tests.performance.servers import DurableServers
from tests.waiting import PATIENCE_S


class BreakableServers(DurableServers):
    """A cluster that waits for the disk, and a Redis that keeps its port; both as a market would have them."""

    def __enter__(self) -> Self:
        super().__enter__()
        self.redis = OwnRedis(self.folder)
        self.redis.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.redis.kill()
        self.crash_postgres()  # nobody needs what an orderly end would write to the disk
        super().__exit__(kind, error, trace)

    def crash_postgres(self) -> None:
        """End PostgreSQL as `pg_ctl stop -m immediate` does: no checkpoint, and every client cut off."""
        where = places.existing(places.canonical(self.folder / "servers"))
        assert where is not None
        postmaster = psutil.Process(int((where.cluster / "postmaster.pid").read_text().splitlines()[0]))
        assert daemon.end([postmaster], ((signal.SIGQUIT, PATIENCE_S),))

    def restart_postgres(self) -> None:
        """Start it where it was; returns when it has recovered and answers."""
        embedded.ensure(self.folder / "servers")
