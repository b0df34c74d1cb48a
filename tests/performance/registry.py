"""Finds the benchmarks: every module in `tests/performance/benchmarks` with a function `run(bench) -> rows`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules

from tests.performance import benchmarks
from tests.performance.bench import Bench
from tests.performance.rows import Row

LAST = {"federated", "litellm"}  # with PEERS=1 they take minutes: if time runs out, then theirs


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A module's benchmark under the module's name; `about` is the first line of its docstring."""

    name: str
    about: str
    run: Callable[[Bench], Iterable[Row]]


def names() -> list[str]:
    """Names of all benchmarks, in the order in which they run."""
    return sorted((module.name for module in iter_modules(benchmarks.__path__)), key=lambda name: (name in LAST, name))


def find(name: str) -> Benchmark:
    """The benchmark of that name; imports its module only."""
    module = import_module(f"{benchmarks.__name__}.{name}")
    return Benchmark(name, (module.__doc__ or "").partition("\n")[0], module.run)
