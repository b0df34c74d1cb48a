"""Transactions that PostgreSQL gave up in favour of others: told as such, tried again a few times, and counted."""

import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from random import random
from typing import ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError

from backend.domain.errors import Unavailable

ATTEMPTS_MAX = 4
WAIT_S = 0.02  # at most, before the second attempt; doubled before each further one
_GIVEN_UP = ("40001", "40P01")  # serialisation failure, deadlock

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

RETRIES: Counter[str] = Counter()  # attempts of this process that were repeated, by service


class Contention(Unavailable):
    """Others were faster; nothing was written."""

    code = "contention"


def is_contention(error: BaseException | None) -> bool:
    """Whether PostgreSQL gave a transaction up so that others could go on."""
    told = error.orig if isinstance(error, DBAPIError) else error
    return getattr(told, "sqlstate", None) in _GIVEN_UP


def busy() -> Contention:
    """What callers are told of it."""
    return Contention("the market is busy with the same rows", accepted="try again")


def patient(service: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Repeat a service whose transaction was given up, ATTEMPTS_MAX times in all; then raise Contention.

    For services that open their unit of work themselves, and do nothing outside of it.
    """

    @wraps(service)
    def repeated(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        for attempt in range(1, ATTEMPTS_MAX):
            try:
                return service(*args, **kwargs)
            except Contention:
                RETRIES[service.__name__] += 1
                time.sleep(WAIT_S * 2 ** (attempt - 1) * random())  # noqa: S311  spreads attempts, keeps no secret
        return service(*args, **kwargs)

    return repeated
