"""Benchmarks (`python -m tests.performance`), and tests of limits that must hold at any speed."""
