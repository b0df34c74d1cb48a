"""Catching a refusal and looking at what it tells the caller."""

from collections.abc import Callable

import pytest

from backend.domain.errors import SwarmexError


def refusal(action: Callable[[], object]) -> SwarmexError:
    """The error that `action` raises; the test fails if it raises none, or one that is not ours."""
    with pytest.raises(SwarmexError) as caught:
        action()
    return caught.value
