"""The zygote that this process starts its members from: it is warm by the time that the rest is."""

import os
from functools import cache

from agents.runtimes.environment import passed_on
from agents.zygote.client import SHARED, Zygote


@cache
def zygote_of_this_process() -> Zygote:
    """One for all that this process starts; it lives no longer than this process does."""
    return Zygote(passed_on(os.environ), os.environ.get(SHARED))
