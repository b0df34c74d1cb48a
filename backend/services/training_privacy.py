"""What a job with privacy has told of its participants, and the noise that its rounds are to have."""

from collections.abc import Iterable

from backend.domain.federated.averaging import CentralPrivacy
from backend.domain.federated.jobs import PrivacyMode, TrainingSpec
from backend.services.training_tools import Tools
from backend.storage.training_nodes import TrainingNode


def rounds_of_one(spec: TrainingSpec, nodes: Iterable[TrainingNode]) -> int:
    """In how many rounds the node took part that did most often: who is asked is no secret lottery, which alone would
    amplify privacy, but nothing of a node is in a round that it was not asked in.

    Where participants add the noise, every update that was asked for counts: the coordinator has seen it.
    """
    if spec.privacy is None:
        return 0
    local = spec.privacy.mode == PrivacyMode.LOCAL
    return max((node.asked if local else node.accepted for node in nodes), default=0)


def epsilon_spent_by(tools: Tools, spec: TrainingSpec, rounds: int) -> float | None:
    """ε at the job's δ of a node that took part in so many rounds; None without privacy."""
    if spec.privacy is None:
        return None
    return tools.epsilon(spec.privacy.mode, rounds, spec.privacy.noise_multiplier, spec.privacy.delta)


def central_privacy(tools: Tools, spec: TrainingSpec) -> CentralPrivacy | None:
    """The clipping and noise of one round's sum, where it is the coordinator that adds it."""
    if spec.privacy is None or spec.privacy.mode != PrivacyMode.CENTRAL:
        return None
    clip = spec.privacy.clip
    return CentralPrivacy(clip, spec.privacy.noise_multiplier * clip, tools.rng())
