"""The swarm: processes that price, match, run, settle and watch each other. See `python -m agents --help`."""
