"""What this machine has, as far as it tells: cores, memory, NVIDIA GPUs."""

import re
import shutil
import subprocess

from backend.domain.joining import Hardware
from backend.domain.machines import ACCELERATORS_MAX, CORES_MAX, MEMORY_MB_MAX

PROBE_TIMEOUT_S = 10.0  # a driver that hangs must not keep a machine from joining
PROBE_BYTES_MAX = 1 << 16
WORD_CHARS_MAX = 63
_QUERY = ["--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]


def probe() -> Hardware:
    """What this process may use; a GPU that does not answer is none."""
    import os

    import psutil

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = min(CORES_MAX, max(1, allowed or 1))
    memory_mb = min(MEMORY_MB_MAX, max(1, psutil.virtual_memory().total >> 20))
    model, gpu_memory_mb, accelerators = gpus(_ask_nvidia())
    return Hardware(cores, memory_mb, model, gpu_memory_mb, accelerators)


def gpus(listed: str) -> tuple[str | None, int, int]:
    """Model, MiB and number of the GPUs in the lines of `nvidia-smi`, one `name, MiB` each; unlike ones are not added.

    A machine offers GPUs of one model: the one that it has most of.
    """
    found: dict[str, list[int]] = {}
    for line in listed.splitlines():
        name, _, memory = line.rpartition(",")
        if name.strip() and memory.strip().isdecimal():
            found.setdefault(_word(name), []).append(int(memory.strip()[:9]))
    if not found:
        return None, 0, 0
    model = max(found, key=lambda name: len(found[name]))
    return model, min(MEMORY_MB_MAX, *found[model]), min(ACCELERATORS_MAX, len(found[model]))


def _word(name: str) -> str:
    """`NVIDIA A100-SXM4-80GB` as `a100-sxm4-80gb`: the form in which orders ask for it."""
    plain = re.sub(r"[^a-z0-9._ -]+", "-", name.strip().lower().removeprefix("nvidia ").removeprefix("tesla "))
    return plain[:WORD_CHARS_MAX].strip(" ._-") or "gpu"


def _ask_nvidia() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        asked = subprocess.run(  # found on PATH, with words of our own
            [program, *_QUERY], capture_output=True, timeout=PROBE_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout[:PROBE_BYTES_MAX].decode(errors="replace") if asked.returncode == 0 else ""
