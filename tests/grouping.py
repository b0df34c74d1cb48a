"""Pytest plugin: tests of containers run on one worker, in turn, and so do those of the whole system.

pytest-xdist 3.8 writes the groups of `--dist loadgroup` to an attribute that pytest 9.2 no longer reads, so it groups
nothing. Folders say it here instead.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Containers share one engine; whole systems side by side would leave each other no time to start their processes.
GROUPS = {"tests/docker/": "docker", "tests/e2e/": "e2e", "tests/load/": "e2e"}


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Spread tests over the workers, one by one but for the groups, which begin first."""
    return GroupScheduling(config, log)


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]  # no types shipped
    """Hands out single tests, and all of a group to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        return next((group for folder, group in GROUPS.items() if nodeid.startswith(folder)), nodeid)
