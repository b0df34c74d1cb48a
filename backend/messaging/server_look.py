"""What an inference server shows of itself: whether it is ready, and which of our models it has, by its metadata."""

import time
from collections.abc import Sequence

from backend.domain.errors import Invalid
from backend.domain.external_nodes import (
    DOCUMENT_BYTES_MAX,
    MODELS_MAX,
    TOLD_CHARS_MAX,
    ModelFit,
    difference,
    read_index,
    read_signature,
)
from backend.domain.work import ModelRef
from backend.messaging.inference_server import InferenceServer, ServerRefused

READY_S_MAX = 1.5
ASK_S_MAX = 2.0  # for one model
LOOK_S_MAX = 15.0  # for all of them


def ask_ready(server: InferenceServer) -> None:
    """Nothing if the server is ready; raises ServerAway, ServerBroke, ServerRefused, AddressNotAllowed."""
    server.call("GET", "/v2/health/ready", timeout_s=READY_S_MAX, bytes_max=DOCUMENT_BYTES_MAX, attempts=1)


def ask_models(server: InferenceServer, models: Sequence[ModelRef]) -> list[ModelFit]:
    """For each of these models, MODELS_MAX at most, whether the server has it in that version and with that signature.

    A server with an index of its models is asked for those in it only. Raises ServerAway, ServerBroke,
    AddressNotAllowed, and Invalid for an index that cannot be read.
    """
    ends_s = time.monotonic() + LOOK_S_MAX
    index = _index(server)
    asked, fits = 0, []
    for model in models:
        if index is not None and model.name not in index:
            why: str | None = "not in its index"
        elif asked >= MODELS_MAX or time.monotonic() > ends_s:
            why = "not asked for: it has too many, or answers too slowly"
        else:
            asked += 1
            why = _why_not(server, model)
        fits.append(ModelFit(model.model_id, model.name, model.version, why))
    return fits


def _index(server: InferenceServer) -> frozenset[str] | None:
    """The names that it says it has; None where it has no such extension."""
    try:
        _, told = server.call(
            "POST", "/v2/repository/index", b"{}", timeout_s=ASK_S_MAX, bytes_max=DOCUMENT_BYTES_MAX, attempts=1
        )
    except ServerRefused:
        return None
    return read_index(told)


def _why_not(server: InferenceServer, model: ModelRef) -> str | None:
    path = f"/v2/models/{model.name}/versions/{model.version}"
    try:
        _, told = server.call("GET", path, timeout_s=ASK_S_MAX, bytes_max=DOCUMENT_BYTES_MAX, attempts=1)
        return difference(model.signature, read_signature(told))
    except ServerRefused as error:
        return "no such model or version" if error.status in (400, 404) else error.message[:TOLD_CHARS_MAX]
    except Invalid as error:
        return f"its metadata cannot be read: {error.message}"[:TOLD_CHARS_MAX]
