"""What gateways watch to know when their caches are stale."""

from backend.storage.unit_of_work import UnitOfWork


def versions(uow: UnitOfWork) -> dict[str, int]:
    """A counter per kind of cached fact; it grows with every change."""
    with uow:
        return uow.changes.versions()
