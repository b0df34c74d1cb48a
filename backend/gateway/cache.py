"""A bounded cache that can be emptied at any moment without a stale answer slipping back in."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from backend.domain.errors import NotFound, SwarmexError, Unauthenticated
from backend.gateway.limits import REFUSALS_MAX
from backend.gateway.threads import Threads

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Least recently used first out; a miss is loaded once for all who ask; "there is no such thing" is kept too.

    Refusals have a ring of their own, so that a flood of guesses cannot push out what is in use.
    """

    def __init__(self, threads: Threads, size_max: int) -> None:
        self._threads = threads
        self._size_max = size_max
        self._values: OrderedDict[K, V] = OrderedDict()
        self._refusals: OrderedDict[K, SwarmexError] = OrderedDict()
        self._loading: dict[K, asyncio.Task[V]] = {}

    def __contains__(self, key: K) -> bool:
        """Whether the value under `key` is known."""
        return key in self._values

    async def get(self, key: K, load: Callable[[], V]) -> V:
        """The value under `key`, from `load` (run in a thread) when it is not known; raises what `load` raises."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        if key in self._refusals:
            raise _again(self._refusals[key])
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._load(key, load))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    def clear(self) -> None:
        """Forget all. Loads under way may have read what was true before: their answers are not kept either."""
        self._values.clear()
        self._refusals.clear()
        self._loading.clear()

    async def _load(self, key: K, load: Callable[[], V]) -> V:
        task = asyncio.current_task()
        try:
            value = await self._threads.run(load)
        except (NotFound, Unauthenticated) as error:
            if self._loading.get(key) is task:
                _keep(self._refusals, key, error, REFUSALS_MAX)
            raise
        else:
            if self._loading.get(key) is task:
                _keep(self._values, key, value, self._size_max)
            return value
        finally:
            if self._loading.get(key) is task:
                del self._loading[key]


def _keep(ring: "OrderedDict[K, V]", key: K, value: V, size_max: int) -> None:
    ring[key] = value
    if len(ring) > size_max:
        ring.popitem(last=False)


def _again(error: SwarmexError) -> SwarmexError:
    """The error without the traceback that it gathered: raised over and over, that would grow without end."""
    return error.with_traceback(None)
