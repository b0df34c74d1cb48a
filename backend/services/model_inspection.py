"""Looking into a file that a stranger sent: in a process of its own, with limits, since a model is a program."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from backend.domain.errors import Invalid
from backend.domain.tensors import Signature
from backend.domain.work import Profile

INSPECT_S = 120.0
CPU_S = 120
MEMORY_BYTES_MAX = 16 << 30  # of address space; the largest file is a quarter of it
ACCEPTED = "an ONNX model whose inputs and outputs are tensors"


def inspect_apart(path: Path) -> tuple[Signature, Profile]:
    """As `onnx_models.inspect`, but whatever the file does, this process and its secrets are out of its reach.

    Raises Invalid(`invalid_model_file`), also for a file that takes longer than INSPECT_S, or more than
    MEMORY_BYTES_MAX, to look into.
    """
    command = [sys.executable, "-m", __name__, str(path)]
    bare = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH", "HOME", "LANG")}
    try:
        done = subprocess.run(
            command, env=bare, cwd=Path(__file__).parents[2], capture_output=True, timeout=INSPECT_S, check=False
        )
        told = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        raise _refused(f"looking into it took longer than {INSPECT_S:.0f} s") from None
    except (IndexError, ValueError):  # killed by a limit, or crashed by the file
        raise _refused("looking into it failed") from None
    if "refused" in told:
        # Where the file lies for now, and as what, is nobody's business.
        why = told["refused"].replace(str(path), "it").replace(path.name, "the file")
        raise Invalid(why, **{k: told[k] for k in ("code", "field", "accepted")})
    return Signature.from_wire(told["signature"]), Profile(told["us_per_call"], told["us_per_row"])


def _refused(why: str) -> Invalid:
    return Invalid(f"the file cannot be served: {why}", code="invalid_model_file", field="file", accepted=ACCEPTED)


def main(path: Path) -> None:
    """What is in a file, as one line of JSON on standard output."""
    from backend.services.onnx_models import inspect

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        signature, profile = inspect(path)
    except Invalid as error:
        facts = {"code": error.code, "field": error.field, "accepted": error.accepted}
        told: dict[str, object] = {"refused": error.message, **facts}
    else:
        told = {
            "signature": signature.to_wire(),
            "us_per_call": profile.us_per_call,
            "us_per_row": profile.us_per_row,
        }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
