"""Rules for every module of the domain: its words are distinct, and its values never change."""

import importlib
import inspect
import pkgutil
from dataclasses import is_dataclass
from enum import StrEnum

import pytest

import backend.domain


def _classes() -> list[type]:
    names = [module.name for module in pkgutil.walk_packages(backend.domain.__path__, "backend.domain.")]
    found = {
        member: None
        for name in names
        for _, member in inspect.getmembers(importlib.import_module(name), inspect.isclass)
        if member.__module__ == name
    }
    return list(found)


CLASSES = _classes()


@pytest.mark.parametrize("words", [c for c in CLASSES if issubclass(c, StrEnum)], ids=lambda c: c.__name__)
def test_no_two_names_of_an_enumeration_mean_the_same_word(words: type[StrEnum]) -> None:
    assert len(list(words)) == len(words.__members__) > 1
    assert all(word.value == word.value.lower().strip() != "" for word in words)


@pytest.mark.parametrize("kind", [c for c in CLASSES if is_dataclass(c)], ids=lambda c: c.__name__)
def test_values_of_the_domain_are_frozen_or_records_which_are_so_to_the_type_checker(kind: type) -> None:
    params = kind.__dataclass_params__  # type: ignore[attr-defined]  # not in the stubs
    assert params.frozen or params.unsafe_hash
