"""A unit of work whose commit counts only while a named resource is held."""

from sqlalchemy import Engine

from backend.storage.unit_of_work import Publish, UnitOfWork


class GuardedUnitOfWork(UnitOfWork):
    """`commit` raises FenceStale, and nothing is written, once the resource has gone to another holder.

    So any service can be run under a lease without knowing of it: a holder that was paused for too long writes
    nothing. The check is the transaction's last statement, and keeps the resource from others until the commit is done.
    """

    def __init__(self, engine: Engine, publish: Publish, name: str, fence: int) -> None:
        super().__init__(engine, publish)
        self._name = name
        self._fence = fence

    def commit(self) -> None:
        """Make everything durable if the lease still is its holder's."""
        self.named_leases.guard(self._name, self._fence)
        super().commit()
