"""The sign of life for whoever asks in the agent's own container."""

from pathlib import Path
from threading import Event
from uuid import UUID

import pytest

from agents.heartbeat import Heartbeat
from backend.domain.ids import AgentId
from backend.domain.work import AgentBeat, BeatAnswer
from tests.waiting import PATIENCE_S

BEAT = AgentBeat(AgentId(UUID(int=1)), "pricing", "p", "host", 1)


class Agent:
    """Lives, and says when it was registered."""

    def __init__(self) -> None:
        self.is_known = Event()

    def beat(self) -> AgentBeat:
        return BEAT

    def registered(self) -> None:
        self.is_known.set()

    def drain(self) -> None:
        raise AssertionError("nobody asked for it")


class Registry:
    """Answers the first `answers` beats and is away from then on."""

    def __init__(self, answers: int) -> None:
        self._answers = answers
        self.asked = 0
        self.twice = Event()

    def beat(self, beat: AgentBeat) -> BeatAnswer:
        self.asked += 1
        if self.asked > 2:
            self.twice.set()
        if self.asked > self._answers:
            raise OSError("the database is away")
        return BeatAnswer(drain=False)

    def stopped(self, agent_id: AgentId) -> None:
        raise AssertionError("nobody asked for it")


@pytest.fixture
def sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the agent leaves it."""
    monkeypatch.setenv("SWARMEX_BEAT_FILE", str(tmp_path / "beat"))
    return tmp_path / "beat"


def beat_thrice(registry: Registry) -> None:
    heartbeat = Heartbeat(registry, Agent(), every_s=0.01)
    heartbeat.start()
    assert registry.twice.wait(PATIENCE_S)
    heartbeat.stop()


def test_one_that_could_not_register_leaves_no_sign(sign: Path) -> None:
    beat_thrice(Registry(answers=0))
    assert not sign.exists()


def test_one_that_is_registered_leaves_it_though_the_database_is_away(sign: Path, tmp_path: Path) -> None:
    beat_thrice(Registry(answers=1))
    assert sign.exists()


def test_a_place_that_cannot_be_written_to_does_not_stop_the_beating(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWARMEX_BEAT_FILE", str(tmp_path / "nowhere" / "beat"))
    registry = Registry(answers=9)
    beat_thrice(registry)
    assert registry.asked > 2
