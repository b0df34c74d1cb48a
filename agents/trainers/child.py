"""The process that trainers run in: `python -m agents.trainers.child PARENT`, started by `process.py` only.

Reads requests as lines of JSON and answers each with `begun` and then `done`, or with an error. It ends when its input
does, whatever it is at, and with its parent, however that ends.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from queue import SimpleQueue
from threading import Thread
from typing import Any

from agents.trainers.base import NoData, TrainerFailed, UnknownTrainer
from agents.trainers.calls import Calls
from agents.trainers.catalogue import Catalogue
from backend.domain.federated.tasks import UPDATE_BYTES_MAX

PR_SET_PDEATHSIG = 1
FILE_BYTES_MAX = 2 * UPDATE_BYTES_MAX
END_S = 1.0  # for what it is at when its input ends


def main(parent: int) -> int:
    """Answer until there is nothing more to answer."""
    _die_with(parent)
    os.umask(0o077)  # what it writes is of somebody's private data
    answers = os.dup(1)
    os.dup2(2, 1)  # trainers may print
    requests: SimpleQueue[bytes | None] = SimpleQueue()
    Thread(target=_read, args=(requests,), name="requests", daemon=True).start()
    hello = _next(requests)
    if hello is None:
        return 0
    _limit(int(hello["memory_bytes"]))
    calls = Calls(Catalogue(str(hello["trainers"])), hello["data"])
    _write(answers, {"ready": {}})
    while (request := _next(requests)) is not None:
        last = _answer(calls, request, answers)
        if last:
            return 1
    return 0


def _answer(calls: Calls, request: Mapping[str, Any], answers: int) -> bool:
    """Whether that was the last that this process can do."""
    try:
        call = calls.prepare(request)
        _write(answers, {"begun": {}})
        _write(answers, {"done": call()})
    except UnknownTrainer as error:
        _write(answers, {"error": error.code, "message": error.why, "trainer": error.name})
    except (NoData, TrainerFailed) as error:
        _write(answers, {"error": error.code, "message": error.message})
    except MemoryError:
        _write(answers, {"error": TrainerFailed.code, "message": "it needs more memory than it has", "last": True})
        return True
    except Exception as error:  # of anybody's code
        traceback.print_exc()  # here, for the operator; its words may be about the data
        _write(answers, {"error": TrainerFailed.code, "message": _place(error)})
    return False


def _place(error: Exception) -> str:
    """What broke and where, without its words."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""  # noqa: PTH119
    return f"the trainer raised {type(error).__name__}{where}"


def _next(requests: "SimpleQueue[bytes | None]") -> dict[str, Any] | None:
    line = requests.get()
    return None if line is None else dict(json.loads(line))


def _read(requests: "SimpleQueue[bytes | None]") -> None:
    for line in sys.stdin.buffer:
        requests.put(line)
    requests.put(None)
    time.sleep(END_S)
    os._exit(1)


def _write(answers: int, message: Mapping[str, object]) -> None:
    line = memoryview(json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n")
    while line:
        line = line[os.write(answers, line) :]


def _limit(memory_bytes: int) -> None:
    # What it may write to, rather than all that it may see: libraries map much more than they use.
    limits = {
        resource.RLIMIT_DATA: memory_bytes,
        resource.RLIMIT_FSIZE: FILE_BYTES_MAX,
        resource.RLIMIT_CORE: 0,
    }
    for what, wished in limits.items():
        _, hard = resource.getrlimit(what)
        most = wished if hard == resource.RLIM_INFINITY else min(wished, hard)
        resource.setrlimit(what, (most, most))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error of the write instead


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was quicker
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
