"""Which models there are, as far as this node knows: refreshed regularly, and when a new one is asked for."""

from threading import Lock
from time import monotonic

from agents.work_port import WorkPort
from backend.domain.work import ModelRef

REFRESH_S = 2.0
ON_DEMAND_S = 0.25  # unknown names cause at most so frequent look-ups, however many ask


class Catalogue:
    """Registered models by name and version; safe for several threads."""

    def __init__(self, port: WorkPort) -> None:
        self._port = port
        self._models: dict[str, dict[int, ModelRef]] = {}
        self._refreshed_at = -REFRESH_S
        self._refreshing = Lock()

    def find(self, name: str, version: int | None = None) -> ModelRef | None:
        """The model, by default its newest version, from memory."""
        versions = self._models.get(name, {})
        if version is None:
            return versions[max(versions)] if versions else None
        return versions.get(version)

    def versions(self, name: str) -> list[int]:
        """The versions of a model, oldest first."""
        return sorted(self._models.get(name, {}))

    def refresh(self, older_than_s: float = REFRESH_S) -> None:
        """Ask the coordinator unless that was less than `older_than_s` ago; raises what the port raises."""
        with self._refreshing:
            if monotonic() - self._refreshed_at < older_than_s:
                return
            models: dict[str, dict[int, ModelRef]] = {}
            for model in self._port.models():
                models.setdefault(model.name, {})[model.version] = model
            self._models = models
            self._refreshed_at = monotonic()
