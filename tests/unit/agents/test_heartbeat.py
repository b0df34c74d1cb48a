"""Signs of life, whatever happens to the registry."""

import threading
import time
from uuid import UUID

from agents.heartbeat import Heartbeat
from backend.domain.ids import AgentId
from backend.domain.work import AgentBeat, BeatAnswer
from tests.waiting import FOREVER_S, until

BEAT = AgentBeat(AgentId(UUID(int=1)), "pricing", "p", "host", 1)


class Registry:
    """Answers as it is told, and counts."""

    def __init__(self) -> None:
        self.beats = 0
        self.away = False
        self.drain = False

    def beat(self, beat: AgentBeat) -> BeatAnswer:
        self.beats += 1
        if self.away:
            raise ConnectionError("away")
        return BeatAnswer(self.drain)

    def stopped(self, agent_id: AgentId) -> None:
        raise AssertionError("that is the agent's to say")


class Living:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def beat(self) -> AgentBeat:
        return BEAT

    def registered(self) -> None:
        self.told.append("registered")

    def drain(self) -> None:
        self.told.append("drain")


def beating(registry: Registry, living: Living) -> Heartbeat:
    heartbeat = Heartbeat(registry, living, every_s=0.01)
    heartbeat.start()
    return heartbeat


def wait_for(registry: Registry, beats: int) -> None:
    until(lambda: registry.beats >= beats, f"{beats} beats")


def test_it_beats_until_stopped_and_says_once_that_it_is_known() -> None:
    registry, living = Registry(), Living()
    heartbeat = beating(registry, living)
    wait_for(registry, 5)
    heartbeat.stop()
    beats = registry.beats
    time.sleep(0.05)
    assert registry.beats == beats >= 5
    assert living.told == ["registered"]


def test_a_registry_that_is_away_is_asked_again_until_it_is_back() -> None:
    registry, living = Registry(), Living()
    registry.away = True
    heartbeat = beating(registry, living)
    wait_for(registry, 3)
    assert living.told == []
    registry.away = False
    wait_for(registry, 6)
    heartbeat.stop()
    assert living.told == ["registered"]


def test_the_wish_to_drain_is_passed_on() -> None:
    registry, living = Registry(), Living()
    registry.drain = True
    heartbeat = beating(registry, living)
    wait_for(registry, 2)
    heartbeat.stop()
    assert living.told[:2] == ["registered", "drain"]


def test_a_beat_that_hangs_does_not_keep_the_agent_from_ending() -> None:
    ended = threading.Event()

    class Hanging(Registry):
        def beat(self, beat: AgentBeat) -> BeatAnswer:
            self.beats += 1
            ended.wait(FOREVER_S)
            return BeatAnswer(False)

    registry = Hanging()
    heartbeat = beating(registry, Living())
    wait_for(registry, 1)
    heartbeat.stop()
    assert heartbeat._thread.is_alive(), "it still hangs, and is left behind"
    ended.set()
