"""Stands in for an agent's program: what a runtime does with processes does not depend on it."""

import os
import signal
import subprocess
import sys
import time


def main() -> None:
    """Tell what it knows, then wait; it may be stubborn, a parent, or talkative."""
    if "stubborn" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "parent" in sys.argv:
        print("child", subprocess.Popen(["sleep", "60"]).pid, flush=True)
    print("up", *(word for word in sys.argv[1:] if word not in {"pricing", "inference"}), flush=True)
    for name in sorted(os.environ):
        print("has", name, flush=True)
    while "talkative" in sys.argv:
        os.write(1, b"x" * 99 + b"\n")  # at once: where Python does not buffer, `print` writes a line's end by itself
        time.sleep(0.001)
    time.sleep(600)
