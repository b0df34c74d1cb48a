"""Threads that take one thing after another in hand: often while there is something, seldom while there is nothing."""

import time
from collections.abc import Sequence
from random import random
from threading import Event

from agents.base import rest
from agents.chores import Chore, run_due
from backend.bootstrap import Swarmex, utc_now
from backend.domain.events import Topic

SOON_S = 0.1  # what was found a moment ago waits for something, and is due again before anybody says so
LATELY_S = 2.0
IDLE_S = 1.0  # events may be lost


def keep_looking(
    app: Swarmex, chore: Chore, topics: Sequence[Topic], stopping: Event, *, soon_s: float = SOON_S
) -> None:
    """Do a chore until told to stop: at once after it found something, else on news or when its time has come.

    That is after `soon_s` while something was found lately, and after IDLE_S otherwise.
    """
    news = app.bus.subscribe(topics)
    soon_until_s = 0.0
    try:
        while not stopping.is_set():
            now_s = time.monotonic()
            found = run_due((chore,), utc_now(), now_s, random())
            if found or chore.failures:
                soon_until_s = now_s + LATELY_S
            if not found:
                rest(news, soon_s if now_s < soon_until_s else IDLE_S, stopping.is_set)
    finally:
        news.close()
