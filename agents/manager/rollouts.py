"""What a runtime was asked to put in the place of members, and what of it was rolled back: it is not tried again."""

from collections.abc import Sequence

from agents.manager.reconcile import member_of
from agents.runtimes.base import Member, MemberKey, Running
from backend.domain.fleet import FleetSpec


class Rollouts:
    """By the members' keys; one thread uses it. A manager that starts knows of none, and tries once more."""

    def __init__(self) -> None:
        self._tried: dict[MemberKey, Member] = {}
        self._refused: dict[MemberKey, Member] = {}

    @property
    def refused(self) -> frozenset[Member]:
        """What did not get well."""
        return frozenset(self._refused.values())

    def tried(self, member: Member) -> None:
        """It was to take the place of another."""
        self._tried[member.key] = member

    def look(self, desired: Sequence[FleetSpec], actual: Sequence[Running]) -> list[Member]:
        """Those that were rolled back since the last look. What is not wanted any more, or runs, is forgotten."""
        back = {one.member.key: one.member for one in actual if one.rolled_back}
        told = [tried for key, tried in self._tried.items() if back.get(key, tried) != tried]
        self._refused |= {member.key: member for member in told}
        self._tried = {key: tried for key, tried in self._tried.items() if tried not in told}
        specs = {spec.name: spec for spec in desired}
        there = {one.member for one in actual}
        for known in (self._tried, self._refused):
            for key, member in list(known.items()):
                spec = specs.get(member.name)
                wanted = spec is not None and member == member_of(spec, member.number)
                if not wanted or (known is self._refused and member in there):
                    del known[key]
        return told
