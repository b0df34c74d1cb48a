"""Faults on purpose, while thousands of orders are in flight: nothing is lost, nothing is paid twice."""
