"""Load on a running market: Locust scenarios, one per file, and `python -m tests.load` that runs them."""
