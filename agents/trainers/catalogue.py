"""Which trainers a machine has: the built-in ones, and those that its operator allows. Nothing else is imported."""

import inspect
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from agents.trainers.base import Trainer, UnknownTrainer
from backend.domain.errors import Invalid, shown
from backend.domain.federated.jobs import TRAINER_CHARS_MAX

BUILT_IN: Mapping[str, str] = {
    "digits-linear": "agents.trainers.digits:LINEAR",
    "digits-mlp": "agents.trainers.digits:MLP",
}
ALLOWED_MAX = 100
SETTING, DATA_SETTING = "SWARMEX_TRAINERS", "SWARMEX_TRAINING_DATA"
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.ASCII)
_PLACE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_METHODS = ("get_parameters", "fit", "evaluate")


def read_allowed(text: str) -> dict[str, str]:
    """The operator's list, `name=module:attribute` with commas between, as a mapping; raises Invalid."""
    allowed: dict[str, str] = {}
    for entry in filter(None, (one.strip() for one in text.split(","))):
        name, _, place = (one.strip() for one in entry.partition("="))
        if len(name) > TRAINER_CHARS_MAX or not _NAME.fullmatch(name) or not _PLACE.fullmatch(place):
            raise _refused(f"{shown(entry)} names no trainer")
        if name in BUILT_IN or name in allowed:
            raise _refused(f"there is a trainer {name} already")
        allowed[name] = place
    if len(allowed) > ALLOWED_MAX:
        raise _refused(f"{len(allowed)} trainers; at most {ALLOWED_MAX} are possible")
    return allowed


def check_data(data: str | None) -> None:
    """Raise Invalid unless it says where a machine's own data is, wherever its agents work."""
    if data is not None and not is_place(data) and not Path(data).is_absolute():
        raise Invalid(
            f"{shown(data)} names no data",
            code="invalid_training_data",
            field=DATA_SETTING,
            accepted="the absolute path of a folder, or module:function",
        )


def is_place(text: str) -> bool:
    """Whether it is of the form `module:attribute`."""
    return _PLACE.fullmatch(text) is not None


def load_place(place: str) -> Any:
    """What `module:attribute` names; raises ImportError, AttributeError, and whatever importing it does."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)


class Catalogue:
    """The trainers of one machine, each imported when it is first asked for."""

    def __init__(self, allowed: str = "") -> None:
        self._places = {**BUILT_IN, **read_allowed(allowed)}
        self._loaded: dict[str, Trainer] = {}

    @property
    def names(self) -> list[str]:
        """All of them, in order."""
        return sorted(self._places)

    def get(self, name: str) -> Trainer:
        """The trainer of that name; raises UnknownTrainer where there is none or it cannot be loaded."""
        if name not in self._places:
            raise UnknownTrainer(name)
        if name not in self._loaded:
            self._loaded[name] = _load(name, self._places[name])
        return self._loaded[name]


def _load(name: str, place: str) -> Trainer:
    try:
        found = load_place(place)
    except MemoryError:
        raise
    except Exception as error:  # a module may raise anything, also for what it needs and this machine has not
        raise UnknownTrainer(name, f"{place} cannot be imported ({type(error).__name__})") from error
    if isinstance(found, Trainer):
        return Trainer(name, found.description, found.metrics, found.make, found.initial, found.export)
    if not callable(found):
        raise UnknownTrainer(name, f"{place} is neither a trainer nor makes one")
    if isinstance(found, type) and not all(hasattr(found, method) for method in _METHODS):
        raise UnknownTrainer(name, f"{place} lacks one of {', '.join(_METHODS)}")
    description = (inspect.getdoc(found) or name).partition("\n")[0]
    make = found if _takes_context(found) else lambda _: found()
    return Trainer(name, description, ("loss",), make)


def _takes_context(make: Any) -> bool:
    """Whether it is to be called with a TrainerContext: a client's class may need nothing."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD, one.VAR_POSITIONAL) for one in parameters)


def _refused(message: str) -> Invalid:
    return Invalid(message, code="invalid_trainers", field=SETTING, accepted="name=module:attribute, …")
