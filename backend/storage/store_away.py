"""What is told when the object store cannot be used: one refusal, whatever the store's own libraries raise."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from backend.domain.errors import Unavailable

FULL = (errno.ENOSPC, errno.EDQUOT)

log = structlog.get_logger(__name__)


class StoreAway(Unavailable):
    """The object store does not answer, refuses the market, or is full; the log says which, its address included."""

    code = "object_store_unreachable"


class StoreFull(StoreAway):
    """There is no room in the object store."""

    code = "object_store_full"


@contextmanager
def reached(*, storing: bool = False) -> Iterator[None]:
    """A use of the store; raises StoreAway for whatever goes wrong with it, but that a file is not there."""
    try:
        yield
    except (FileNotFoundError, StoreAway):
        raise
    except Exception as error:  # each kind of store raises its own
        log.warning("object_store.away", error=repr(error))
        if storing and isinstance(error, OSError) and error.errno in FULL:
            raise StoreFull("the object store is full") from error
        raise StoreAway("the object store cannot be reached") from error
