"""Names of strangers looked up in threads that can be left behind, since looking up has no time-out and no end."""

import socket
from concurrent.futures import Future
from threading import Lock, Thread

LOOK_UPS_MAX = 64  # names at once in a process, as many as there may be servers: one that hangs holds up no other

Addresses = list[str]

_under_way: "dict[tuple[str, int], Future[Addresses]]" = {}  # each in a thread of its own
_lock = Lock()


class TooManyLookUps(OSError):
    """LOOK_UPS_MAX names are being looked up already."""


def look_up(host: str, port: int) -> "Future[Addresses]":
    """The addresses of a name, once they are found: one thread for each, for all who ask meanwhile.

    It cannot be cancelled, only left. Raises TooManyLookUps; the future raises OSError, or UnicodeError for no name.
    """
    with _lock:
        found = _under_way.get((host, port))
        if found is None:
            if len(_under_way) >= LOOK_UPS_MAX:
                raise TooManyLookUps("too many names are being looked up")
            found = Future()
            found.set_running_or_notify_cancel()
            Thread(target=_ask, args=(host, port, found), name=f"look up {host}", daemon=True).start()
            _under_way[host, port] = found
    return found


def _ask(host: str, port: int, found: "Future[Addresses]") -> None:
    try:
        told = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except Exception as error:  # of whoever waits
        found.set_exception(error)
    else:
        found.set_result([str(info[4][0]) for info in told])
    finally:
        with _lock:
            del _under_way[host, port]
