"""Which models there are, as far as this node knows: refreshed regularly, and when a new one is asked for."""

from threading import Lock
from time import monotonic

from agents.work_port import WorkPort
from backend.domain.work import ModelRef

REFRESH_S = 2.0
ON_DEMAND_S = 0.25  # look-ups for unknown names are so far apart, however many ask; all who wait share one


class Catalogue:
    """Registered models by name and version; safe for several threads."""

    def __init__(self, port: WorkPort) -> None:
        self._port = port
        self._models: dict[str, dict[int, ModelRef]] = {}
        self.refreshed_at_s = -REFRESH_S  # when the coordinator was asked for what is known, of `monotonic`
        self._refreshing = Lock()

    def find(self, name: str, version: int | None = None) -> ModelRef | None:
        """The model, by default its newest version, from memory."""
        versions = self._models.get(name, {})
        if version is None:
            return versions[max(versions)] if versions else None
        return versions.get(version)

    def all(self) -> list[ModelRef]:
        """All models in all versions."""
        return [model for versions in self._models.values() for _, model in sorted(versions.items())]

    def versions(self, name: str) -> list[int]:
        """The versions of a model, oldest first."""
        return sorted(self._models.get(name, {}))

    def refresh(self, older_than_s: float = REFRESH_S) -> None:
        """Ask the coordinator unless that was less than `older_than_s` ago; raises what the port raises."""
        with self._refreshing:
            asked_at_s = monotonic()
            if asked_at_s - self.refreshed_at_s < older_than_s:
                return
            models: dict[str, dict[int, ModelRef]] = {}
            for model in self._port.models():
                models.setdefault(model.name, {})[model.version] = model
            self._models = models
            self.refreshed_at_s = asked_at_s
