"""The Redis transport of consumers that loses no message which Redis hands over as they end."""

from typing import Any

import structlog
from kombu.transport.redis import Channel, Transport
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)


class KeepingChannel(Channel):
    """A channel that puts back what it was given when nobody consumes any more.

    A consumer that ends has asked for its next message already. Kombu's own channel delivers an answer that comes then
    to nobody: the message would be gone, and the work in it wait until it is found missing.
    """

    def close(self) -> None:
        """Close, after what was asked for is back in its place."""
        self._put_back()
        super().close()  # type: ignore[no-untyped-call]  # so is kombu

    def _put_back(self) -> None:
        asked: Any = self._in_poll  # the connection, if it is in use
        self._in_poll = False
        if not asked:
            return
        try:
            answer: Any = self.client.parse_response(asked, "BRPOP")  # at the end of its time at the latest
            if answer:
                key, message = answer
                with self.conn_or_acquire() as client:
                    client.rpush(key, message)  # from where it was taken
        except (RedisError, OSError) as error:
            log.warning("consumer.nothing_put_back", error=repr(error))


class KeepingTransport(Transport):
    """The transport of such channels."""

    Channel = KeepingChannel
