"""One call as the service's methods see it: what came with it, and what is told with its answer."""

from urllib.parse import unquote

from grpc.aio import ServicerContext

from backend.gateway.rates.rates import Visit

Told = tuple[tuple[str, str], ...]


class Call:
    """`visit` is what it is counted against, once its caller is known; `told` goes into the trailing metadata."""

    __slots__ = ("_context", "metadata", "told", "visit")

    def __init__(self, context: ServicerContext) -> None:
        self._context = context
        # Text only; of a key that comes twice the last.
        self.metadata = {key: word for key, word in context.invocation_metadata() or () if isinstance(word, str)}
        self.visit: Visit | None = None
        self.told: Told = ()

    @property
    def address(self) -> str | None:
        """Where it came from; None for a socket file."""
        return address_in(self._context.peer())

    @property
    def trailing(self) -> Told:
        """What is told with the answer, of the caller's limits as well."""
        limits = [] if self.visit is None else self.visit.headers()
        return (*self.told, *((name.decode(), value.decode()) for name, value in limits))

    def leave(self) -> None:
        """It is over, well or not."""
        if self.visit is not None:
            self.visit.leave()


def address_in(peer: str) -> str | None:
    """The address in gRPC's name for the other side, as in ipv4:192.0.2.1:5000; None for a socket file."""
    family, _, rest = peer.partition(":")
    return unquote(rest).rpartition(":")[0] if family in ("ipv4", "ipv6") else None
