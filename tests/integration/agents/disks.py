"""A node's disk, and what becomes of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def disk_away(cache: Path) -> Iterator[None]:
    """A folder of model files that gives and takes nothing for the length of a block."""
    kept = cache.with_name("kept")
    cache.rename(kept)
    cache.write_bytes(b"no folder")
    try:
        yield
    finally:
        cache.unlink()
        kept.rename(cache)
