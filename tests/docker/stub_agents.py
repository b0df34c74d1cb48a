"""Stands in for an agent's program in containers and processes: what a runtime does does not depend on it."""

import os
import signal
import sys
import time
from pathlib import Path

BEAT_S = 0.2


def main() -> None:
    """Beat until told to end; `stubborn` ignores that, `sick` never beats, `short` ends at once."""
    words = sys.argv[1:]
    if "stubborn" in words:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("up", *words, flush=True)
    for number in range(50 if "talkative" in words else 0):
        print("line", number, flush=True)
    if "short" in words:
        return
    beat = os.environ.get("SWARMEX_BEAT_FILE")
    while True:
        if beat and "sick" not in words:
            Path(beat).touch()
        time.sleep(BEAT_S)


if __name__ == "__main__":
    main()
