"""Tests; importable so that `python -m tests.performance` and the plugins named in pytest.ini work."""
