"""`python -m agents.zygote DESCRIPTOR`: forks agents on request, from a listening socket that it inherits."""

import gc
import socket
import sys
from importlib import import_module

from setproctitle import setproctitle

from agents.__main__ import DIRECT
from agents.runtimes.faces import FACES
from agents.zygote.server import Server
from backend import bootstrap
from backend.domain.fleet import AgentKind

# All but gRPC, whose library does not want to be forked.
PROGRAMS = (
    *(module for module, _, _ in DIRECT.values()),
    "agents.inference.launch",
    f"{FACES[AgentKind.API].module}.__main__",
)


def main() -> int:
    """Import what agents need, then fork until standard input closes."""
    setproctitle("swarmex: zygote")  # the first time, while the environment is where the kernel put it
    gc.disable()  # imports stay
    for program in PROGRAMS:
        import_module(program)
    bootstrap.configure_logging("INFO")
    gc.freeze()  # no collection of a child's writes to what it shares with the others
    gc.enable()
    Server(socket.socket(fileno=int(sys.argv[1])), sys.stdin.fileno()).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
