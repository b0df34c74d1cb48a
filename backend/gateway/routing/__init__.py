"""Which node serves a real-time request: lines of leases, choices between them, and what becomes of bad ones."""
