"""What a machine keeps of its membership, and when it warns."""

from pathlib import Path

import pytest

from backend.cli.joining_client import Membership, is_exposed
from backend.domain.errors import Invalid


@pytest.mark.parametrize(
    ("url", "exposed"),
    [
        ("https://market.example", False),
        ("http://market.example", True),
        ("http://192.168.1.4:8080", True),
        ("http://127.0.0.1:8080", False),
        ("http://[::1]:8080", False),
        ("http://localhost", False),
    ],
)
def test_a_key_that_would_travel_in_the_clear_is_told_of(url: str, exposed: bool) -> None:
    assert is_exposed(url) is exposed


def test_a_membership_is_kept_for_its_owner_only_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "data" / "node.json"
    assert Membership.kept(file) is None
    for key in ("swn_1", "swn_2"):
        member = Membership("https://market.example", "id", "attic", key)
        member.keep(file)
        assert Membership.kept(file) == member
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["node.json"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"url": 1}', '{"url": "u", "node_id": "i", "name": "n", "k": 1}'])
def test_a_file_that_is_damaged_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "node.json"
    file.write_text(content)
    with pytest.raises(Invalid) as refused:
        Membership.kept(file)
    assert refused.value.code == "invalid_node_file"
