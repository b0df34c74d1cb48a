"""Wrong keys by client address: who guesses is soon not looked up any more, and known keys work on from there too."""

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_network

from backend.domain.buckets import Ask, Bucket, draw
from backend.gateway.errors import RateLimited
from backend.gateway.rates.permits import now_ms

GUESSES_PER_MINUTE = 600
ADDRESSES_MAX = 10_000
NETWORK_BITS = 64  # of IPv6: what one customer has for the asking


class Guesses:
    """Used in one event loop. Of too many addresses, those that guessed longest ago are forgotten."""

    def __init__(self, clock_ms: Callable[[], int] = now_ms) -> None:
        self._clock_ms = clock_ms
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def check(self, address: str) -> None:
        """Raise RateLimited for an address that has no guess left."""
        bucket = self._buckets.get(network_of(address))
        if bucket is None:
            return
        _, drawn = draw(bucket, Ask(GUESSES_PER_MINUTE, need=1), self._clock_ms())
        if drawn.wait_ms:
            raise RateLimited("Authorization", GUESSES_PER_MINUTE, drawn.wait_ms / 1_000)

    def wrong(self, address: str) -> None:
        """Count one."""
        network = network_of(address)
        one = Ask(GUESSES_PER_MINUTE, returned=-1)
        self._buckets[network], _ = draw(self._buckets.get(network), one, self._clock_ms())
        self._buckets.move_to_end(network)
        if len(self._buckets) > ADDRESSES_MAX:
            self._buckets.popitem(last=False)


def network_of(address: str) -> str:
    """What is counted together: an address, or of IPv6 its network."""
    if ":" not in address:
        return address
    try:
        return str(ip_network((IPv6Address(address), NETWORK_BITS), strict=False))
    except ValueError:
        return address
