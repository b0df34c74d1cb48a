"""Use cases: each a verb in one transaction. Time comes in, events go out through the unit of work."""
