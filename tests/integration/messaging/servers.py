"""Both servers that a bus may run on, to be stopped and brought back: Redis, and its twin in memory."""

from pathlib import Path
from typing import Protocol

import redis

from backend.messaging.bus import Bus
from backend.messaging.memory_bus import MemoryBus, MemoryServer
from backend.messaging.ports import EventBus
from tests.own_redis import OwnRedis

TIMEOUT_S = 60.0


class Server(Protocol):
    """What a test of the bus does to its server."""

    def bus(self, namespace: str) -> EventBus:
        """A bus on it, as a process of its own would have."""
        ...

    def send(self, channel: str, payload: bytes) -> int:
        """Publish anything; how many connections it was handed to."""
        ...

    def start(self) -> None:
        """Start it, or bring it back."""
        ...

    def stop(self) -> None:
        """Kill it."""
        ...


class RedisServer:
    """A Redis server of the test's own."""

    def __init__(self, folder: Path) -> None:
        self._redis = OwnRedis(folder)
        self._buses: list[Bus] = []

    def bus(self, namespace: str) -> EventBus:
        self._buses.append(Bus(self._redis.url, namespace))
        return self._buses[-1]

    def send(self, channel: str, payload: bytes) -> int:
        with redis.Redis.from_url(self._redis.url, socket_timeout=TIMEOUT_S) as client:
            return int(client.publish(channel, payload))

    def start(self) -> None:
        self._redis.start()

    def stop(self) -> None:
        self._redis.kill()

    def end(self) -> None:
        """Close every bus, and kill it."""
        for bus in self._buses:
            bus.close()
        self._redis.kill()


class TwinServer:
    """The twin."""

    def __init__(self) -> None:
        self._memory = MemoryServer()

    def bus(self, namespace: str) -> EventBus:
        return MemoryBus(self._memory, namespace)

    def send(self, channel: str, payload: bytes) -> int:
        return self._memory.publish(channel, payload)

    def start(self) -> None:
        self._memory.start()

    def stop(self) -> None:
        self._memory.stop()
