"""Models in memory: as many as fit the limits, the least recently used one makes room; none does while it runs."""

from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Condition, Lock
from time import monotonic

import structlog

from agents.engines.base import Engine, ModelUnusable, NothingRun
from agents.engines.formats import keeps_rows_apart
from agents.inference.held_model import HeldModel
from agents.inference.joining import is_joinable
from agents.inference.warm_up import warm_up
from agents.memory import default_model_bytes
from agents.model_cache import ModelCache
from backend.domain.errors import SwarmexError
from backend.domain.work import ModelRef, Profile

LOADED_MAX = 256
MEMORY_FACTOR = 2  # of a file's size, measured: its weights as they are, and as the runtime lays them out anew
MODEL_OVERHEAD_BYTES = 1 << 20  # of one loaded model, however small its file
ROOM_S = 5.0  # so long a model waits for others that are in use
REFUSAL_S = 5.0  # so long a model that could not be loaded is refused at once, instead of fetched per request

log = structlog.get_logger(__name__)


class NoRoom(NothingRun):
    """Models that are in use fill the memory, or keep the one that is to go."""

    code = "no_model_memory"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory: its estimated size, how often it was asked for, and its time on this machine."""

    ref: ModelRef
    size_bytes: int
    hits: int
    in_use: bool
    profile: Profile | None
    joins: bool


@dataclass(slots=True)
class Counts:
    """What happened since the start."""

    hits: int = 0
    loads: int = 0
    refusals: int = 0
    evictions: int = 0
    unloads: int = 0


class LoadedModels:
    """Models by checksum; safe for several threads."""

    def __init__(
        self, cache: ModelCache, engine: Engine, loaded_max: int = LOADED_MAX, bytes_max: int | None = None
    ) -> None:
        self.cache = cache
        self._engine = engine
        self._loaded_max = loaded_max
        self.bytes_max = default_model_bytes() if bytes_max is None else bytes_max
        self.counts = Counts()
        self._models: OrderedDict[str, HeldModel] = OrderedDict()
        self._refusals: dict[str, tuple[float, SwarmexError]] = {}
        self._changed = Condition(Lock())
        self._loading = Lock()

    def get(self, model: ModelRef) -> HeldModel:
        """`model`, loaded and warmed up; raises ChecksumMismatch, ModelUnusable, ModelNotFetched, NoRoom."""
        if (held := self._find(model.checksum)) is not None:
            return held
        with self._loading:  # one at a time: two copies of a large model would need twice the memory
            if (held := self._find(model.checksum)) is not None:
                return held
            return self._load(model)

    def peek(self, checksum: str) -> HeldModel | None:
        """The model if it is in memory; this is no use of it."""
        return self._models.get(checksum)

    def loaded(self) -> list[LoadedModel]:
        """What is in memory, the least recently used first."""
        with self._changed:
            return [
                LoadedModel(held.ref, held.size_bytes, held.hits, held.uses > 0, held.profile, held.joins)
                for held in self._models.values()
            ]

    def load(self, model: ModelRef) -> None:
        """Have `model` in memory, though it was refused a moment ago; raises what `get` does."""
        with self._changed:
            self._refusals.pop(model.checksum, None)
        self.get(model)

    def unload(self, checksum: str) -> bool:
        """Drop a model, once nobody uses it; whether it was there. Raises NoRoom while it is in use for ROOM_S.

        The next request for it loads it again.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: not self._in_use(checksum), ROOM_S):
                raise NoRoom("the model is in use", accepted="try again when its requests are answered")
            if self._models.pop(checksum, None) is None:
                return False
            self.counts.unloads += 1
        log.info("model.unloaded", checksum=checksum)
        return True

    def _in_use(self, checksum: str) -> bool:
        held = self._models.get(checksum)
        return held is not None and held.uses > 0

    def _find(self, checksum: str) -> HeldModel | None:
        with self._changed:
            if (refusal := self._refusals.get(checksum)) is not None:
                until, error = refusal
                if monotonic() < until:
                    raise error
                del self._refusals[checksum]
            if (held := self._models.get(checksum)) is not None:
                self._models.move_to_end(checksum)
                held.hits += 1
                self.counts.hits += 1
            return held

    def _load(self, model: ModelRef) -> HeldModel:
        started = monotonic()
        try:
            held = self._loaded(model, self.cache.path_of(model))
        except SwarmexError as error:
            with self._changed:
                self.counts.refusals += 1
                if not isinstance(error, NoRoom):  # room comes by itself, at any moment
                    self._refusals[model.checksum] = (monotonic() + REFUSAL_S, error)
                while len(self._refusals) > self._loaded_max:
                    del self._refusals[next(iter(self._refusals))]
            raise
        with self._changed:
            self._models[model.checksum] = held
            self.counts.loads += 1
        log.info(
            "model.loaded",
            model=model.name,
            version=model.version,
            checksum=model.checksum,
            bytes=held.size_bytes,
            joins=held.joins,
            us_per_call=held.profile.us_per_call if held.profile else None,
            us_per_row=held.profile.us_per_row if held.profile else None,
            seconds=round(monotonic() - started, 4),
        )
        return held

    def _loaded(self, model: ModelRef, path: Path) -> HeldModel:
        size = path.stat().st_size * MEMORY_FACTOR + MODEL_OVERHEAD_BYTES
        if size > self.bytes_max:
            raise ModelUnusable(f"needs about {size} bytes of memory", accepted=f"at most {self.bytes_max} bytes")
        self._make_room(size)
        apart = is_joinable(model.signature) and keeps_rows_apart(path)  # before the engine has a copy of its own
        loaded = self._engine.load(path)
        warmed = warm_up(loaded, model.signature)
        return HeldModel(model, loaded, size, replace(warmed, joins=warmed.joins and apart), self._changed)

    def _make_room(self, size: int) -> None:
        """Throw models out, the least recently used first, until one of `size` bytes fits; raises NoRoom."""
        deadline = monotonic() + ROOM_S
        with self._changed:
            while not self._fits(size):
                idle = next((checksum for checksum, held in self._models.items() if not held.uses), None)
                if idle is not None:
                    del self._models[idle]
                    self.counts.evictions += 1
                    log.info("model.evicted", checksum=idle)
                elif not self._changed.wait(deadline - monotonic()):
                    raise NoRoom("models in use fill the memory", accepted="try again when they are answered")

    def _fits(self, size: int) -> bool:
        used = sum(held.size_bytes for held in self._models.values())
        return len(self._models) < self._loaded_max and used + size <= self.bytes_max
