"""Reads of one model, rendered once and answered from the shared cache until something about its name changes."""

from collections.abc import Callable

from backend.domain.errors import NotFound
from backend.domain.ids import ModelId
from backend.domain.registry import Format, split_reference
from backend.messaging.read_cache import ReadCache
from backend.services.models import by_id_key, get_model
from backend.storage.models import Model
from backend.storage.unit_of_work import UnitOfWork

Render = Callable[[Model], bytes]


def show_model(uow: UnitOfWork, cache: ReadCache, reference: str, version: int | None, render: Render) -> bytes:
    """A model by name, `name@alias` or name and version, rendered; one round trip where it is cached.

    Else one statement and two round trips to the cache. Raises NotFound, Invalid(`alias_and_version`).
    """
    name, alias = split_reference(reference)
    which = f"{'' if alias is None else '@' + alias}#{'' if version is None else version}"
    return _answer(cache, name, which, render, lambda: get_model(uow, reference, version))


def show_by_id(uow: UnitOfWork, cache: ReadCache, model_id: ModelId, render: Render) -> bytes:
    """A model by its id, rendered, in as many round trips; also one that was deleted. Raises NotFound."""

    def load() -> Model:
        with uow.single():
            found = uow.models.find(model_id)
        if found is None or found.format is Format.TRAINER:
            raise NotFound("model", model_id)
        return found

    return _answer(cache, by_id_key(model_id), "", render, load)


def _answer(cache: ReadCache, name: str, which: str, render: Render, load: Callable[[], Model]) -> bytes:
    looked = cache.look(name, which)
    if looked.body is not None:
        return looked.body
    model = load()
    body = render(model)
    cache.fill(name, which, looked, model.revision, body)
    return body
