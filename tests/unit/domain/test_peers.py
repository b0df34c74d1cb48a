"""What opens a model file at a peer."""

from backend.domain.peers import Peer, file_token

OTHER = "b" * 64
CHECKSUM = "a" * 64


def test_a_token_is_of_one_agent_and_one_file() -> None:
    tokens = {file_token(agent, checksum) for agent in ("one", "two") for checksum in (CHECKSUM, OTHER)}
    assert len(tokens) == 4
    assert all(len(token) == 64 for token in tokens)
    assert file_token("one", CHECKSUM) == file_token("one", CHECKSUM)


def test_a_token_is_not_shown_with_its_peer() -> None:
    assert "secret" not in repr(Peer("http://node:1", "secret"))
