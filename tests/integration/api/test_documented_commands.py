"""What README and docs show at a shell's prompt works as it stands, and answers with what they show."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

import tests
from backend.bootstrap import Swarmex, utc_now
from backend.cli.demo.digits import request, train
from backend.services import models
from tests.integration.api.callers import TIMEOUT_S, Callers
from tests.integration.api.supply import Supply

PROJECT = Path(tests.__file__).parents[1]
DOCUMENTS = ("README.md", "docs/observability.md")
SHOWN_AT = re.compile(r"(http://127\.0\.0\.1:8080|(?<!/)localhost:8080)")
ID = re.compile(r"01a1[0-9a-f]{4}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PIXELS = ", 0" * 61  # for what the README leaves out of an image


def shown() -> Iterator[tuple[str, str]]:
    """Every curl command of the documents, and what is printed below it."""
    for document in DOCUMENTS:
        for block in re.findall(r"^```\w*\n(.*?)^```", (PROJECT / document).read_text(), re.MULTILINE | re.DOTALL):
            # A command goes on while its lines end in a backslash or a quotation is open.
            for found in re.finditer(r"^(?:\$ )?(curl .*?)(?=^\$ |\Z)", block, re.MULTILINE | re.DOTALL):
                command, output = split(found[1])
                yield command, output


def split(text: str) -> tuple[str, str]:
    """A command as a shell would read it, and the lines after it."""
    lines = text.splitlines()
    for count in range(1, len(lines) + 1):
        command = "\n".join(lines[:count])
        if not lines[count - 1].endswith("\\") and command.count("'") % 2 == 0:
            return command, "\n".join(lines[count:])
    raise AssertionError(f"this never ends: {text}")


@pytest.fixture
def folder(tmp_path: Path, market: Swarmex) -> Path:
    """Where a reader has run the demo."""
    digits = train(tmp_path / "model")
    models.register_model(market.uow(), utc_now(), market.objects, "digits", digits.path)
    example = tmp_path / ".swarmex/demo/digit.json"
    example.parent.mkdir(parents=True)
    example.write_bytes(orjson.dumps(request(digits.images[:1])))
    return tmp_path


def test_every_curl_command_answers_what_is_shown_below_it(
    url: str, supply: Supply, callers: Callers, folder: Path, subtests: pytest.Subtests
) -> None:
    keys = {"SWARMEX_KEY": callers.user.key.secret, "SWARMEX_ADMIN_KEY": callers.admin.key.secret}
    known: list[str] = []
    commands = list(shown())
    assert len(commands) >= 5
    for command, output in commands:
        with subtests.test(command):
            # An id in a command is one that an answer before it has told.
            asked = ID.sub(lambda _: known[-1], SHOWN_AT.sub(url, command).replace(", …", PIXELS))
            ended = subprocess.run(
                ["bash", "-o", "pipefail", "-c", f"{asked} --max-time {TIMEOUT_S:.0f}" if "|" not in asked else asked],
                env=os.environ | keys,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=2 * TIMEOUT_S,
                check=True,
            )
            answer = ended.stdout
            assert answer
            assert '"error"' not in answer, answer
            for name in re.findall(r'"(\w+)":|^([\w-]+): ', output, re.MULTILINE):
                assert "".join(name) in answer, f"{name} in {answer}"
            if orders := re.search(r'"orders":\[\{"id":"([^"]+)"', answer):
                known.append(orders[1])
