"""Registered models as the hot path needs them: name, version and signature, cached."""

from collections.abc import Callable
from dataclasses import dataclass

from backend.domain.errors import NotFound
from backend.domain.tensors import Signature
from backend.domain.work import Profile
from backend.gateway.cache import Cache
from backend.gateway.changes import Changes
from backend.gateway.limits import MODELS_MAX
from backend.gateway.threads import Threads

Versions = tuple[tuple[str, int], ...]

NAME_CHARS_MAX = 127  # of a name, and of an alias behind an @


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model in one version, which versions there are, and how long it takes."""

    name: str
    version: int
    versions: tuple[int, ...]
    signature: Signature
    profile: Profile


class Models:
    """The registry as of half a second ago at most."""

    def __init__(
        self,
        load: Callable[[str, int | None], ServedModel],
        load_index: Callable[[], Versions],
        threads: Threads,
        changes: Changes,
    ) -> None:
        self._load = load
        self._load_index = load_index
        self._changes = changes
        self._cache: Cache[tuple[str, int | None], ServedModel] = Cache(threads, MODELS_MAX)
        self._index: Cache[None, Versions] = Cache(threads, 1)
        changes.watch("models", self._cache.clear)
        changes.watch("models", self._index.clear)

    async def get(self, name: str, version: str | None) -> ServedModel:
        """The model, in its latest version unless one is asked for; raises NotFound(`unknown_model`)."""
        number = int(version) if version and version.isdecimal() and len(version) < 10 else None
        if len(name) > NAME_CHARS_MAX or not name.isprintable():
            raise NotFound("model", repr(name[:NAME_CHARS_MAX]), field="model")
        if version is not None and number is None:
            raise NotFound("model version", repr(version[:NAME_CHARS_MAX]), accepted="a number")
        self._changes.require_fresh()
        return await self._cache.get((name, number), lambda: self._load(name, number))

    async def index(self) -> Versions:
        """All models by name and version."""
        self._changes.require_fresh()
        return await self._index.get(None, self._load_index)
