"""Models of a server that stands for a node: in place of a file, a document that says where the server has it."""

import json
from pathlib import Path
from uuid import uuid4

from agents.engines.base import Loaded
from agents.engines.remote import load_from, read_document
from agents.inference.held_model import HeldModel
from agents.inference.models import LoadedModels
from agents.model_cache import ModelCache
from backend.domain.remote_models import FORMAT
from backend.domain.work import ModelRef
from backend.messaging.inference_server import InferenceServer

NO_PROFILE = {"us_per_call": 1, "us_per_row": 1}  # never read: what is billed is bounded by the registered model's


class ServerDocuments(ModelCache):
    """Writes each model's document; there are no files, for peers neither."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder, self)
        self._url = url

    def path_of(self, model: ModelRef) -> Path:
        """The document of the model as registered: name, version and signature must be the same there."""
        told = {"format": FORMAT, "url": self._url, "model": model.name, "version": str(model.version)}
        path = self._folder / f"{model.checksum}.json"
        part = self._folder / f"{uuid4().hex}.partial"  # others may be reading, or writing, this very document
        try:
            part.write_text(json.dumps(told | model.signature.to_wire() | {"profile": NO_PROFILE}))
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return path

    def file_of(self, _checksum: str) -> None:
        """Nothing: what the server has cannot be passed on."""

    def get_file(self, key: str, _path: Path) -> None:
        """Raises FileNotFoundError: nothing is fetched."""
        raise FileNotFoundError(key)


class ServerEngine:
    """The engine for documents of one server."""

    def __init__(self, server: InferenceServer) -> None:
        self._server = server

    def load(self, path: Path) -> Loaded:
        """The model as the server has it; raises ModelUnusable, BackendAway."""
        return load_from(self._server, read_document(path))


class ServerModels(LoadedModels):
    """Models of one server. Requests of several users share a call only where the operator vouches for it."""

    def __init__(self, folder: Path, server: InferenceServer, *, vouched: bool) -> None:
        super().__init__(ServerDocuments(folder, server.url), ServerEngine(server))
        self._vouched = vouched

    def _loaded(self, model: ModelRef, path: Path) -> HeldModel:
        held = super()._loaded(model, path)
        held.joins = held.joins and self._vouched
        return held
