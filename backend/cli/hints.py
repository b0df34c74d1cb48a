"""What to do next about a refusal, by its code."""

NEXT = {
    "account_exists": "`swarmex account show NAME` shows it",
    "ambiguous_node": "name the node by its id, or its owner with --account",
    "api_unreachable": "`swarmex up` starts the API; `swarmex doctor` tells what is wrong with one that runs",
    "coordinator_unreachable": "`swarmex doctor` tells what is down, `swarmex up` starts it",
    "database_error": "`swarmex doctor` tells what is down, `swarmex up` starts it",
    "demo_failed": "read the logs named above; `swarmex down` stops what still runs, then try again",
    "embedded_server_failed": "`swarmex down` and `swarmex up` start the servers again",
    "internal_error": "`swarmex doctor` tells what is wrong here; SWARMEX_LOG_LEVEL=DEBUG shows where it came from",
    "insufficient_funds": "`swarmex deposit ACCOUNT AMOUNT --reference TEXT` adds money",
    "invalid_key": "a key is revoked by the id that `swarmex key create` printed, not by its secret",
    "invalid_order": "`swarmex order list` shows ids",
    "invalid_setting": "correct that environment variable, or unset it",
    "invalid_input": "`swarmex model list --json` shows what each model takes",
    "invalid_tensor": "`swarmex model list --json` shows what each model takes",
    "limit_below_market": "`swarmex price list` shows today's prices",
    "limit_below_session_price": "leave --limit out, or raise it",
    "no_capacity": "`swarmex node list` shows who is alive and has an offer; `swarmex up` starts the agents",
    "not_initialised": "`swarmex init` makes a market here; `swarmex demo` fills it with a sample",
    "not_ready": "read the logs named above, `swarmex doctor`, then `swarmex up` again",
    "not_running": "`swarmex up` starts everything",
    "no_node_database_url": 'docs: the README, under "Servers of your own"',
    "node_exists": "`swarmex node list` shows it; choose another name",
    "order_closed": "`swarmex order show ORDER` tells how it ended",
    "port_taken": "choose another: SWARMEX_API_PORT=8081, or 0 for a free one",
    "reference_reused": "a repeat with the same amount is safe; another payment has an id of its own",
    "tier_not_offered": "choose another --tier",
    "unauthenticated": "`swarmex key create ACCOUNT` makes a key; give it in SWARMEX_KEY or --key",
    "unknown_account": "`swarmex account create NAME` opens one",
    "unknown_key": "keys are revoked by the id that `swarmex key create` printed, not by their secret",
    "unknown_model": "`swarmex model list` shows what there is; `swarmex model register NAME FILE` adds one",
    "unknown_node": "`swarmex node list` shows all nodes",
    "unknown_order": "`swarmex order list` shows the newest orders",
}


def next_step(code: str, command: str) -> str:
    """One sentence on what to do about the refusal of a command."""
    return NEXT.get(code) or f"`{command} --help` shows what it takes, with examples"
