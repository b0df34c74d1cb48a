"""The operator's tool `swarmex`: one file per noun, one function per verb; it calls the services at the machine itself.

Help must be quick, so files here import at their top only what is light; a verb imports its services when it runs.
"""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code: 0 fine, 1 failed or refused, 2 wrong usage, 130 interrupted."""
    try:
        from backend.cli.entry import run

        return run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        return 130
