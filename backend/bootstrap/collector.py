"""Python's garbage collector, as long-lived processes want it."""

import gc


def calm_collector() -> None:
    """Let collections pass over what is there now; how often they come is set in `backend/__init__.py`."""
    gc.freeze()
