"""Pytest plugin: labels each measured line with the kind of test that ran it (`unit`, `integration`, ...).

One run can then hold the domain to its unit tests alone: `coverage report --contexts='^(import|unit)$'`.
Lines that run when a module is imported are `import`. Processes that a test starts are not measured: a machine of CI
has two cores, and tracing tens of agents on them leaves each too little time for what its market promises.
"""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from coverage import Coverage

INHERITED = "COVERAGE_PROCESS_CONFIG"  # how coverage tells a child process to measure itself
TESTS = Path(__file__).parent


def pytest_configure() -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.pop(INHERITED, None)
    _label("import")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    _label(item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else "other")
    return (yield)


def _label(kind: str) -> None:
    measuring = Coverage.current()
    if measuring is not None:
        measuring.switch_context(kind)
