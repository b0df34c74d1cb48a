"""What is to be started and stopped, as a pure function of what is wanted and what is there."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from agents.runtimes.base import Member, Running
from backend.domain.fleet import FleetSpec


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps towards the wanted fleet; starts in the order of the wish."""

    start: tuple[Member, ...]
    stop: tuple[Running, ...]
    replace: tuple[tuple[Running, Member], ...] = ()  # who is there, and who is to take the place


def member_of(spec: FleetSpec, number: int) -> Member:
    """One replica of an entry."""
    return Member(spec.name, number, spec.kind, spec.arguments, spec.image, spec.resources)


def members_of(specs: Sequence[FleetSpec]) -> list[Member]:
    """Every replica of every entry, with the lowest numbers."""
    return [member_of(spec, number) for spec in specs for number in range(spec.replicas)]


def diff(
    desired: Sequence[FleetSpec],
    actual: Sequence[Running],
    leaving: Collection[str] = (),
    busy: Mapping[str, int] | None = None,
    starting: Collection[str] = (),
    refused: Collection[Member] = (),
    *,
    in_place: bool = False,
) -> Plan:
    """Start the members that are missing; stop those that are not wanted, wanted otherwise, there twice, or too many.

    `leaving` are handles of those that are on their way out already, `starting` of those that have not shown themselves
    yet, `busy` says what handles have in hand. Of too many go those first that are wanted otherwise, then the least
    busy, and of these the highest numbers; of twins the oldest stays. One that is leaving is never counted on. Its
    number is given again when it is gone, so that two with one name never run at once.

    An entry that was changed is rolled over: of the members that are wanted otherwise one is stopped at a time, while
    nobody else of the entry is missing, leaving or starting. So one that cannot live as changed costs one replica.
    `in_place`, for a runtime that can, one that has nothing in hand is replaced instead; one that is busy is stopped,
    since that has more patience. An entry of which the runtime has `refused` a member is not rolled over any more.
    """
    stop: dict[str, Running] = {}
    start: list[Member] = []
    replace: list[tuple[Running, Member]] = []
    specs = {spec.name: spec for spec in desired}
    by_name: dict[str, list[Running]] = {name: [] for name in specs}
    for running in sorted(actual, key=lambda running: (running.started_s, running.handle)):
        if running.member.name in by_name:
            by_name[running.member.name].append(running)
        else:
            stop[running.handle] = running
    for name, spec in specs.items():
        kept = _keep(spec, by_name[name], leaving, busy or {}, starting)
        going = [running for running in by_name[name] if running not in kept]
        rolled = [] if going else _rolled(spec, kept, starting, refused)
        fit = [running for running in rolled if in_place and running.member.kind is spec.kind]
        idle = [running for running in fit if not (busy or {}).get(running.handle)]
        replace += [(running, member_of(spec, running.member.number)) for running in idle]
        stop |= {running.handle: running for running in [*going, *rolled] if running not in idle}
        numbers = {running.member.number for running in kept}
        wanted = (number for number in range(spec.replicas + len(numbers)) if number not in numbers)
        lowest = [number for _, number in zip(range(spec.replicas - len(kept)), wanted, strict=False)]
        taken = {running.member.number for running in by_name[name]}
        start += [member_of(spec, number) for number in lowest if number not in taken]
    return Plan(tuple(start), tuple(stop.values()), tuple(replace))


def _keep(
    spec: FleetSpec,
    there: Sequence[Running],
    leaving: Collection[str],
    busy: Mapping[str, int],
    starting: Collection[str],
) -> list[Running]:
    """The replicas that stay of those that are `there`, the oldest first; who would be missed least comes last."""
    by_number: dict[int, Running] = {}
    for running in sorted(there, key=lambda running: _is_stale(spec, running)):  # a stable sort
        if running.handle not in leaving:
            by_number.setdefault(running.member.number, running)

    def rank(running: Running) -> tuple[bool, int, bool, int]:
        held, number = busy.get(running.handle, 0), running.member.number
        return _is_stale(spec, running), -held, running.handle in starting, number

    return sorted(by_number.values(), key=rank)[: spec.replicas]


def _rolled(
    spec: FleetSpec, kept: Sequence[Running], starting: Collection[str], refused: Collection[Member]
) -> Sequence[Running]:
    """The one that makes room for its successor, of an entry that nobody is leaving."""
    if any(member.name == spec.name and member == member_of(spec, member.number) for member in refused):
        return []
    settled = len(kept) == spec.replicas
    waits = any(running.handle in starting and not _is_stale(spec, running) for running in kept)
    stale = [running for running in kept if _is_stale(spec, running)]
    return stale[-1:] if settled and not waits else []


def _is_stale(spec: FleetSpec, running: Running) -> bool:
    """Whether it was started as the entry was before a change."""
    return running.member != member_of(spec, running.member.number)
