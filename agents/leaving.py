"""How an agent's process ends."""

import atexit
import logging
import os
import sys
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End without the interpreter's own farewell: a thread that outlived its time and logs meanwhile would abort it."""
    atexit._run_exitfuncs()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
