"""Models: what can be asked for by name."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from backend.api.dependencies import Market
from backend.api.security import Anyone
from backend.api.wire.base import Text
from backend.api.wire.models import Model
from backend.services import models

router = APIRouter(prefix="/api/v1/models", tags=["models"])


@router.get("")
def list_models(_: Anyone, market: Market) -> list[Model]:
    """Every version of every model."""
    return [Model.of(model) for model in models.list_models(market.uow())]


@router.get("/{name}")
def show_model(
    name: Annotated[Text, Path()],
    _: Anyone,
    market: Market,
    version: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
) -> Model:
    """A model, in its latest version unless one is asked for."""
    return Model.of(models.get_model(market.uow(), name, version))
