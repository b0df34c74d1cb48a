"""The Redis transport of consumers: what is not a message of ours never reaches Celery, but whoever buries it.

A message that kombu cannot parse would end the worker, one that Celery cannot read is acknowledged with a log line
and lost. Judged here, both are refused in one place, and the worker goes on with the next.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from redis import Redis

from backend.domain.dead_letters import DeadMessage
from backend.messaging.handing_over import KeepingChannel, KeepingTransport
from backend.messaging.judging import judge

Refuse = Callable[[str, DeadMessage], None]
"""Called in the consumer's thread with a queue and what is kept of a message from it; must not raise."""


class _JudgingClient(Redis):
    """Answers a BRPOP that brought a bad message as if its time were over."""

    def __init__(self, refuse: Refuse, separator: str, **options: Any) -> None:
        super().__init__(**options)
        self._refuse = refuse
        self._separator = separator

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        answer: Any = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]  # so is redis
        if command_name != "BRPOP" or not answer:
            return answer
        key, raw = answer
        dead = judge(raw)
        if dead is None:
            return answer
        self._refuse(key.decode().partition(self._separator)[0], dead)
        return None


class IntakeChannel(KeepingChannel):
    """A channel with judgement; its transport option `refuse` is a Refuse."""

    from_transport_options = (*KeepingChannel.from_transport_options, "refuse")  # type: ignore[assignment]  # of any length
    refuse: Refuse

    def _get_client(self) -> Callable[..., Redis]:
        super()._get_client()  # type: ignore[no-untyped-call]  # typed in part; it checks the library's version
        return partial(_JudgingClient, self.refuse, self.sep)


class IntakeTransport(KeepingTransport):
    """The transport of such channels."""

    Channel = IntakeChannel
