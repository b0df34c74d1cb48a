"""What the adapter remembers of items, writes for models, and waits for when it leaves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agents.external import agent, port
from agents.external.agent import ExternalAgent
from agents.external.models import ServerDocuments
from agents.external.port import Spared
from backend.domain.ids import ItemId
from backend.storage.ids import new_id
from tests.onnx_files import reference_to, write_doubling


def ids(count: int) -> Sequence[ItemId]:
    return [ItemId(new_id()) for _ in range(count)]


def test_an_item_is_spared_only_so_often_until_it_has_run_or_failed() -> None:
    spared, [one, other] = Spared(), ids(2)
    for _ in range(port.SPARED_MAX):
        assert spared.may_be(one)
        spared.count([one])
    assert not spared.may_be(one)
    assert spared.may_be(other)
    spared.forget([one, other])
    assert spared.may_be(one)


def test_of_the_items_that_were_spared_only_the_latest_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "SPARED_MAX", 1)
    monkeypatch.setattr(port, "SPARED_ITEMS_MAX", 2)
    spared, [first, second, third] = Spared(), ids(3)
    spared.count([first, second])
    spared.count([first, third])
    assert [spared.may_be(one) for one in (first, second, third)] == [False, True, False]


def test_a_document_that_is_being_read_is_not_written_over(tmp_path: Path) -> None:
    model = reference_to(write_doubling(tmp_path / "m.onnx"))
    folder = tmp_path / "documents"
    path = ServerDocuments(folder, "http://one:80").path_of(model)
    was = path.read_text()
    with path.open() as reading:
        assert ServerDocuments(folder, "http://other:80").path_of(model) == path
        assert reading.read() == was
    assert "http://other:80" in path.read_text()
    assert list(folder.iterdir()) == [path], "no part of it is left"


def test_all_that_end_share_the_time_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, given = [0.0], []

    class Hanging:
        """One that takes all the time that it is given."""

        def stop(self) -> None:
            given.append(-1.0)

        def join(self, timeout_s: float) -> None:
            given.append(timeout_s)
            clock[0] += min(timeout_s, 10.0)

    class Clock:
        def monotonic(self) -> float:
            return clock[0]

    monkeypatch.setattr(agent, "time", Clock())
    leaving: Any = ExternalAgent.__new__(ExternalAgent)
    leaving._stand_ins = {n: Hanging() for n in range(3)}
    leaving.drained()
    assert given == [-1.0, -1.0, -1.0, 15.0, 5.0, 0.0]
