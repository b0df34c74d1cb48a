"""The ways to make a call through a breaker: a function, a block, a coroutine, a decorator."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import wraps
from types import CoroutineType, GeneratorType, TracebackType
from typing import Any, ParamSpec, TypeVar

from pybreaker import CircuitBreakerError

Permit = tuple[int, float]  # the breaker's epoch when the call was let in, and the time
P = ParamSpec("P")
T = TypeVar("T")
LAZY = frozenset({CoroutineType, GeneratorType})  # returned at once; the work, and its failure, come later


class BreakerCalls:
    """What a breaker adds around `before`, `success`, `failure` and `abandon`."""

    _throw_new_error_on_trip: bool
    before: Callable[..., Permit]
    success: Callable[[Permit], None]
    failure: Callable[[Permit, BaseException], bool]
    abandon: Callable[[Permit], None]

    def call(self, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `func` returns; raises BreakerOpen, or what it raises.

        A coroutine or a generator is guarded while it runs, not while it is made.
        """
        permit = self.before(func, *args, **kwargs)
        try:
            result = func(*args, **kwargs)
        except BaseException as error:
            self._record(permit, error)
            raise
        if type(result) in LAZY:
            self.abandon(permit)
            guarded: T = self._guard(result)
            return guarded
        self.success(permit)
        return result

    async def call_async(self, func: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `func` returns once awaited; raises BreakerOpen, or what it raises."""
        permit = self.before(func, *args, **kwargs)
        try:
            result = await func(*args, **kwargs)
        except BaseException as error:
            self._record(permit, error)
            raise
        self.success(permit)
        return result

    def calling(self) -> "Calling":
        """A block that is one call: `with` or `async with`."""
        return Calling(self)

    def __call__(self, func: Callable[P, T]) -> Callable[P, T]:
        """Decorate a function, a coroutine function or a generator function."""

        @wraps(func)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            return self.call(func, *args, **kwargs)

        @wraps(func)
        async def guarded_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            return await self.call_async(func, *args, **kwargs)  # type: ignore[arg-type]  # known to be a coroutine

        return guarded_async if inspect.iscoroutinefunction(func) else guarded  # type: ignore[return-value]  # same

    def _record(self, permit: Permit, error: BaseException) -> None:
        """Record the end of a call; raises CircuitBreakerError where the caller is to see that instead."""
        if self.failure(permit, error) and self._throw_new_error_on_trip:
            raise CircuitBreakerError("the call failed and tripped the breaker") from error

    def _guard(self, lazy: Any) -> Any:
        return self._awaited(lazy) if isinstance(lazy, CoroutineType) else self._iterated(lazy)

    async def _awaited(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            with self.calling():
                return await coroutine
        finally:
            coroutine.close()  # one that was refused has never begun

    def _iterated(self, generator: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        with self.calling():
            return (yield from generator)


class Calling(AbstractContextManager["Calling"], AbstractAsyncContextManager["Calling"]):
    """One call as a block. Entering raises BreakerOpen; neither way of it ever waits."""

    __slots__ = ("_breaker", "_permit")

    def __init__(self, breaker: BreakerCalls) -> None:
        self._breaker = breaker

    def __enter__(self) -> "Calling":
        self._permit = self._breaker.before()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._breaker.success(self._permit)
        else:
            self._breaker._record(self._permit, error)

    async def __aenter__(self) -> "Calling":
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)
