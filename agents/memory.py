"""How much memory this machine, or the container that the process is in, has for models."""

from contextlib import suppress
from pathlib import Path

import psutil

MODELS_SHARE = 0.5  # of the whole; the rest is for requests, other processes and the system
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")  # cgroup v2


def default_model_bytes(container_limit: Path = CONTAINER_LIMIT) -> int:
    """What models may take in one process unless its operator says otherwise."""
    whole = psutil.virtual_memory().total
    with suppress(OSError, ValueError):  # no container, an older kernel, or "max"
        whole = min(whole, int(container_limit.read_text()))
    return int(whole * MODELS_SHARE)
