"""`python -m agents.tail NAME LINES`: the last lines of a member of the fleet, wherever its runtime keeps them."""

import sys
from collections.abc import Sequence

from agents.manager.agent import runtime_of
from backend import bootstrap
from backend.domain.errors import SwarmexError

NOT_RUNNING = 3


def main(arguments: Sequence[str]) -> int:
    """Print them; NOT_RUNNING if no such member runs, 1 if its runtime cannot be asked."""
    name, lines = arguments[0], int(arguments[1])
    try:
        app = bootstrap.connect(start_servers=False)
        running = {one.member.label: one for one in runtime_of(app).list()}
        if name not in running:
            return NOT_RUNNING
        for line in runtime_of(app).logs(running[name], lines):
            sys.stdout.write(f"{line}\n")
    except (SwarmexError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
