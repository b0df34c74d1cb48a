"""Hypothesis for these tests alone: the same examples on every machine, and no clock to fail on a busy one."""

from collections.abc import Generator

import pytest
from hypothesis import settings

PROFILE = "domain"

settings.register_profile(PROFILE, derandomize=True, deadline=None, database=None, max_examples=50)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Load the profile while modules of this folder are imported: a test keeps the settings of that moment."""
    before = settings.get_current_profile_name()
    settings.load_profile(PROFILE)
    try:
        return (yield)
    finally:
        settings.load_profile(before)
