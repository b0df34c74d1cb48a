"""What the processes of a fleet show of themselves."""

import pytest

from backend.domain.titles import Title

MEMBER = Title("pool.edge-0", "3f2a", '["pool.edge",0,"inference",["--pool","a  b"],null,null]')


def test_a_title_is_read_as_it_was_written_also_with_the_blanks_of_a_longer_command_behind_it() -> None:
    assert Title.of(str(MEMBER)) == Title.of(f"{MEMBER}    ") == MEMBER
    assert str(MEMBER).startswith("swarmex: pool.edge-0 of 3f2a [")


@pytest.mark.parametrize(
    "command", ["", "python -m agents pricing", "swarmex up", "swarmex: zygote", "swarmex: a of b", f"vi {MEMBER}"]
)
def test_other_commands_are_no_titles(command: str) -> None:
    assert Title.of(command) is None
