"""Models in memory: as many as fit a named limit, the least recently used one makes room."""

from collections import OrderedDict
from threading import Lock
from time import monotonic

from agents.engines.base import Engine, Loaded
from agents.model_cache import ModelCache
from backend.domain.errors import SwarmexError
from backend.domain.work import ModelRef

LOADED_MAX = 8
REFUSAL_S = 5.0  # so long a model that could not be loaded is refused at once, instead of fetched per request


class LoadedModels:
    """Models by checksum; safe for several threads."""

    def __init__(self, cache: ModelCache, engine: Engine, loaded_max: int = LOADED_MAX) -> None:
        self._cache = cache
        self._engine = engine
        self._loaded_max = loaded_max
        self._models: OrderedDict[str, Loaded] = OrderedDict()
        self._refusals: dict[str, tuple[float, SwarmexError]] = {}
        self._lock = Lock()
        self._loading = Lock()

    def get(self, model: ModelRef) -> Loaded:
        """`model`, loaded; raises ChecksumMismatch, ModelUnusable."""
        if (loaded := self._find(model.checksum)) is not None:
            return loaded
        with self._loading:  # one at a time: two copies of a large model would need twice the memory
            if (loaded := self._find(model.checksum)) is not None:
                return loaded
            return self._load(model)

    def _find(self, checksum: str) -> Loaded | None:
        with self._lock:
            if (refusal := self._refusals.get(checksum)) is not None:
                until, error = refusal
                if monotonic() < until:
                    raise error
                del self._refusals[checksum]
            if (loaded := self._models.get(checksum)) is not None:
                self._models.move_to_end(checksum)
            return loaded

    def _load(self, model: ModelRef) -> Loaded:
        try:
            loaded = self._engine.load(self._cache.path_of(model))
        except SwarmexError as error:
            with self._lock:
                self._refusals[model.checksum] = (monotonic() + REFUSAL_S, error)
                while len(self._refusals) > self._loaded_max:
                    del self._refusals[next(iter(self._refusals))]
            raise
        with self._lock:
            self._models[model.checksum] = loaded
            while len(self._models) > self._loaded_max:
                self._models.popitem(last=False)
        return loaded
