"""What the adapter writes for models, and waits for when it leaves."""

from pathlib import Path
from typing import Any

import pytest

from agents.external import agent
from agents.external.agent import ExternalAgent
from agents.external.models import ServerDocuments
from tests.onnx_files import reference_to, write_doubling


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
