"""Limits of keys from the command line."""

from tests.integration.cli.runner import Cli

NOBODY = "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"
NOTHING = {"requests_per_minute": None, "tokens_per_minute": None, "in_flight": None}


def test_limits_are_shown_set_one_by_one_and_removed(cli: Cli) -> None:
    cli.json("account", "create", "acme")
    key = cli.json("key", "create", "acme")["key_id"]
    before = cli.json("key", "limits", key)
    assert [face["face"] for face in before["faces"]] == ["api", "small", "medium", "large", "enterprise"]
    assert (before["operator"], before["owner"]) == (NOTHING, NOTHING)
    cli.json("key", "limits", key, "--requests-per-minute", 600)
    both = cli.json("key", "limits", key, "--in-flight", 8)
    assert both["operator"] == NOTHING | {"requests_per_minute": 600, "in_flight": 8}
    assert {(face["requests_per_minute"], face["in_flight"]) for face in both["faces"]} == {(600, 8)}
    assert "Set for this key" in cli.run("key", "limits", key).out
    assert cli.json("key", "limits", key) == both
    assert cli.run("key", "limits", key, "--remove", "--json").document == before
    assert "Set for this key" not in cli.run("key", "limits", key).out


def test_what_cannot_be_is_refused(cli: Cli) -> None:
    cli.json("account", "create", "acme")
    key = cli.json("key", "create", "acme")["key_id"]
    assert cli.refused("key", "limits", key, "--in-flight", 0) == ("invalid_in_flight", "in_flight")
    assert cli.refused("key", "limits", key, "--in-flight", 1, "--remove") == ("invalid_remove", "remove")
    assert cli.refused("key", "limits", key, "--remove") == ("unknown_key_limits", "key")
    assert cli.refused("key", "limits", NOBODY) == ("unknown_key", "key")
    assert cli.refused("key", "limits", "swx_secret") == ("invalid_key", "key")
