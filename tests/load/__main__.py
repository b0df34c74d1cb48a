"""`python -m tests.load [--users N] [--seconds S] [--scenario NAME]`: headless Locust on a market of this machine.

With SWARMEX_URL and SWARMEX_KEY it goes to the market that runs there; else a whole one is started for it, and ended.
Exits 1 when any answer was not one that a user may expect.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from backend.bootstrap import configure_logging
from tests.load import scenarios
from tests.performance.servers import DurableServers
from tests.performance.system import running

URL = "SWARMEX_URL"
KEY = "SWARMEX_KEY"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the scenarios that are asked for, one after the other."""
    options = _options(argv)
    configure_logging("WARNING")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was started is stopped on the way
    failed = []
    with _market() as (url, key):
        for name in options.scenario or scenarios.NAMES:
            print(f"\n{name}: {options.users} users for {options.seconds} s on {url}", flush=True)
            if scenarios.run(name, url, key, options.users, options.seconds):
                failed.append(name)
    if failed:
        print(f"Unexpected failures in {', '.join(failed)}.")
    return 1 if failed else 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--users", type=_at_most(scenarios.USERS_MAX), default=20, metavar="N")
    parser.add_argument("--seconds", type=_at_most(scenarios.SECONDS_MAX), default=20, metavar="S")
    parser.add_argument("--scenario", action="append", choices=scenarios.NAMES, metavar="NAME")
    options = parser.parse_args(argv)
    if url := os.environ.get(URL):
        if not os.environ.get(KEY):
            parser.error(f"{KEY} must hold an API key of the market at {URL}")
        try:
            scenarios.require_loopback(url)
        except ValueError as error:
            parser.error(str(error))
    return options


def _at_most(limit: int) -> Callable[[str], int]:
    """Reads a whole number from 1 to `limit`."""

    def number(text: str) -> int:
        if not 1 <= int(text) <= limit:
            raise argparse.ArgumentTypeError(f"1 to {limit}")
        return int(text)

    return number


@contextmanager
def _market() -> Iterator[tuple[str, str]]:
    """URL and key of the market to go to."""
    if url := os.environ.get(URL):
        yield url, os.environ[KEY]
        return
    with DurableServers() as servers:
        database_url = servers.database()
        node_url = servers.node_url(database_url)
        with running(database_url, node_url, servers.redis_url, "load", servers.folder / "load") as system:
            yield system.url, system.key


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
