"""Verbs that go on showing how things are, until Ctrl-C."""

import time
from collections.abc import Callable
from typing import NoReturn

from rich.console import RenderableType
from rich.live import Live

from backend.cli.output import console
from backend.cli.signals import uninterrupted
from backend.domain.errors import Invalid

EVERY_S = 1.0


def check_watch(watch: bool, as_json: bool) -> None:
    """Raise Invalid(`invalid_watch`) for --watch with --json."""
    if watch and as_json:
        raise Invalid(
            "--json prints one document, once", code="invalid_watch", field="watch", accepted="without --json"
        )


def keep_showing(draw: Callable[[], RenderableType]) -> NoReturn:
    """Show what `draw` gives, now and every EVERY_S, in the same place of the terminal."""
    with Live(draw(), console=console(), auto_refresh=False) as live:
        while True:
            time.sleep(EVERY_S)
            with uninterrupted():  # a Ctrl-C inside a database driver's callback would be lost
                live.update(draw(), refresh=True)
