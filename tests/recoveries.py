"""Pytest plugin: tells at the end what every fault cost, also where tests run in other processes."""

import pytest

PROPERTY = "recovery"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The recovery times that tests recorded, whether they passed or not, and what they took together."""
    told = [
        (value, report.duration)
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, value in report.user_properties
        if name == PROPERTY and report.when == "call"
    ]
    if told:
        terminalreporter.section("recovery")
        for value, _ in told:
            terminalreporter.write_line(str(value))
        terminalreporter.write_line(f"{len(told)} scenarios in {sum(seconds for _, seconds in told):.0f} s")
