"""Command lines of the operator, run in this process."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from backend.cli import main


@dataclass(frozen=True, slots=True)
class Done:
    """What a command line left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


class Cli:
    """`swarmex`, on servers of the test's own."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def run(self, *arguments: object) -> Done:
        """Run a command line."""
        self._capture.readouterr()
        code = main([str(argument) for argument in arguments])
        shown = self._capture.readouterr()
        return Done(code, shown.out, shown.err)

    def json(self, *arguments: object) -> Any:
        """The document of a command line that succeeds, whose table is drawn as well."""
        done = self.run(*arguments, "--json")
        assert done.code == 0, done.out
        assert done.err == ""
        return done.document

    def refused(self, *arguments: object) -> tuple[str, str | None]:
        """Code and field of a refusal, which must be the same in both forms."""
        plain = self.run(*arguments)
        assert (plain.code, plain.out) == (1, "")
        done = self.run(*arguments, "--json")
        assert (done.code, done.err) == (1, "")
        error = done.document["error"]
        assert set(error) == {"code", "message", "field", "accepted", "next"}
        assert error["message"] in plain.err, (error, plain.err)
        assert error["next"] in plain.err
        return error["code"], error["field"]
