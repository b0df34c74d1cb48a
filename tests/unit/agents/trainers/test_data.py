"""A node's own data."""

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from agents.trainers.base import NoData, TrainerContext, TrainerFailed
from agents.trainers.data import own_examples
from agents.trainers.digits import LINEAR
from backend.domain.ids import NodeId

NODE = NodeId(UUID(int=7))


def context(data: str | Path | None) -> TrainerContext:
    return TrainerContext(NODE, 0, 1, 0, None if data is None else str(data), {})


def save(folder: Path, features: Any, labels: Any) -> None:
    folder.mkdir(exist_ok=True)
    np.save(folder / "X.npy", features)
    np.save(folder / "y.npy", labels)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the operator's."""
    module = ModuleType("clinic_records")
    monkeypatch.setitem(sys.modules, "clinic_records", module)
    return module


def test_a_folder_is_read(tmp_path: Path) -> None:
    save(tmp_path, np.eye(3), np.arange(3))
    found = own_examples(context(tmp_path))
    assert found is not None
    assert (found[0] == np.eye(3)).all()
    assert list(found[1]) == [0, 1, 2]


def test_a_folder_of_the_nodes_own_comes_first(tmp_path: Path) -> None:
    save(tmp_path, np.eye(3), np.arange(3))
    save(tmp_path / str(NODE), np.eye(2), np.arange(2))
    found = own_examples(context(tmp_path))
    assert found is not None
    assert len(found[1]) == 2


def test_a_function_is_asked_for_whom_it_is(source: ModuleType) -> None:
    asked = []

    def of(context: TrainerContext) -> tuple[list[list[int]], list[int]]:
        asked.append(context.node)
        return [[1, 2]], [0]

    source.of = of  # type: ignore[attr-defined]
    found = own_examples(context("clinic_records:of"))
    assert found is not None
    assert found[0].shape == (1, 2)
    assert asked == [NODE]


def test_a_machine_without_data_of_its_own_has_none() -> None:
    assert own_examples(context(None)) is None


def test_the_coordinator_reads_nobodys(tmp_path: Path) -> None:
    save(tmp_path, np.eye(3), np.arange(3))
    assert own_examples(replace(context(tmp_path), node=None)) is None


def test_nothing_for_a_node_is_no_data(tmp_path: Path, source: ModuleType) -> None:
    source.of = lambda _: None  # type: ignore[attr-defined]
    save(tmp_path / "empty", np.zeros((0, 3)), np.zeros(0))
    for data in ("clinic_records:of", tmp_path / "nowhere", tmp_path / "empty"):
        with pytest.raises(NoData):
            own_examples(context(data))


def test_what_is_no_data_is_told_of_without_its_content(tmp_path: Path) -> None:
    save(tmp_path / "uneven", np.eye(3), np.arange(2))
    save(tmp_path / "objects", np.array([{"name": "Smith"}], dtype=object), np.arange(1))
    for data in (tmp_path / "uneven", tmp_path / "objects", "no.such:function"):
        with pytest.raises(TrainerFailed, match="this machine's") as refused:
            own_examples(context(data))
        assert "Smith" not in refused.value.message


@pytest.mark.parametrize(
    ("features", "labels"),
    [
        (np.zeros((2, 63)), np.arange(2)),
        (np.zeros((2, 8, 8)), np.arange(2)),
        (np.zeros((2, 64)), np.array([0, 10])),
        (np.zeros((2, 64)), np.array([-1, 0])),
        (np.zeros((2, 64)), np.array([0.5, 1.0])),
        (np.full((2, 64), "x"), np.arange(2)),
    ],
    ids=["narrow", "square", "eleventh class", "below the first", "between classes", "words"],
)
def test_digits_are_of_one_form(features: Any, labels: Any, tmp_path: Path) -> None:
    save(tmp_path, features, labels)
    client = LINEAR.make(context(tmp_path))
    with pytest.raises(TrainerFailed, match="this machine's"):
        client.fit(client.get_parameters({}), {})
