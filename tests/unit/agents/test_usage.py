"""`python -m agents` as its user meets it."""

import pytest

from agents.__main__ import main
from agents.runtimes.faces import FACES
from backend.domain.fleet import AgentKind

STARTED_HERE = [kind for kind in AgentKind if kind not in FACES]


def test_help_names_every_kind_and_how_an_agent_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert all(kind in text for kind in STARTED_HERE)
    assert "SIGTERM" in text
    assert "SWARMEX_NODE_DATABASE_URL" in text


@pytest.mark.parametrize("arguments", [["cleaning"], [], ["--loud"]])
def test_a_wrong_kind_is_bad_usage_and_the_kinds_are_named(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    if arguments == ["cleaning"]:
        text = capsys.readouterr().err
        assert all(kind in text for kind in STARTED_HERE)


@pytest.mark.parametrize(
    "arguments",
    [
        ["inference"],
        ["inference", "--node", "not-an-id"],
        ["inference", "--pool", ""],
        ["inference", "--pool", "a b"],
        ["inference", "--pool", "x" * 65],
        ["inference", "--pool", "a", "--node", "019a0000-0000-7000-8000-000000000001"],
        ["pricing", "--pool", "a"],
    ],
)
def test_an_inference_agent_wants_one_node_or_one_pool(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
