"""Names of channels. Each says whom its events are for, so that the server wakes nobody else."""

from collections.abc import Iterable
from itertools import product

from backend.domain.events import Audience, Event, Topic

CHANNELS_MAX = 20_000  # of one subscription; a pool's agent listens for hundreds of nodes


def channel_of(namespace: str, event: Event) -> str:
    """The one channel that `event` is published in."""
    return _name(namespace, event.topic, event.kind, event.node, event.agent)


def channels_for(namespace: str, topics: Iterable[Topic], audience: Audience) -> list[str]:
    """All channels in which there may be something for `audience`; raises ValueError if too many."""
    kinds = dict.fromkeys(("", audience.kind))
    names = []
    for topic in dict.fromkeys(topics):
        names += [_name(namespace, topic, kind, node, "") for kind, node in product(kinds, ("", *audience.nodes))]
        if audience.agent:
            names.append(_name(namespace, topic, "", "", audience.agent))
    if len(names) > CHANNELS_MAX:
        raise ValueError(f"{len(names)} channels, at most {CHANNELS_MAX}")
    return sorted(set(names))


def _name(namespace: str, topic: Topic, kind: str, node: str, agent: str) -> str:
    """No colon occurs in a topic or in an addressee, so no two addressees share a channel."""
    channel = f"{namespace}.{topic}"
    if agent:
        return f"{channel}:agent={agent}"
    if kind:
        channel = f"{channel}:kind={kind}"
    return f"{channel}:node={node}" if node else channel
