"""Federated training: what a job is, what its participants are asked, and how their updates become one model."""
