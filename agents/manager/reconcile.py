"""What is to be started and stopped, as a pure function of what is wanted and what is there."""

from collections.abc import Sequence
from dataclasses import dataclass

from agents.runtimes.base import Member, MemberKey, Running
from backend.domain.fleet import FleetSpec


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps towards the wanted fleet; starts in the order of the wish."""

    start: tuple[Member, ...]
    stop: tuple[Running, ...]


def members_of(specs: Sequence[FleetSpec]) -> list[Member]:
    """Every replica of every entry."""
    return [Member(spec.name, number, spec.kind, spec.arguments) for spec in specs for number in range(spec.replicas)]


def diff(desired: Sequence[FleetSpec], actual: Sequence[Running]) -> Plan:
    """Start the members that are missing; stop those that are not wanted, wanted otherwise, or there twice.

    Of twins the oldest stays. A changed member is started when its predecessor is gone, so that two with one
    name never run at once.
    """
    wanted = {member.key: member for member in members_of(desired)}
    kept: set[MemberKey] = set()
    stop = []
    for running in sorted(actual, key=lambda running: (running.started_s, running.handle)):
        key = running.member.key
        if wanted.get(key) == running.member and key not in kept:
            kept.add(key)
        else:
            stop.append(running)
    there = {running.member.key for running in actual}
    return Plan(tuple(member for key, member in wanted.items() if key not in there), tuple(stop))
