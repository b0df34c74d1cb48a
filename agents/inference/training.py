"""What an inference agent trains with, by its settings."""

from collections.abc import Callable

from agents.inference.claims import ClaimKeeper
from agents.inference.training_items import Host, TrainingItems
from agents.inference.weight_files import WeightFiles
from agents.work_port import FilePort
from backend.bootstrap import Settings

FOLDER = "weights"  # in the folder of models that were fetched


def trained_by(settings: Settings, port: FilePort) -> Callable[[ClaimKeeper], TrainingItems]:
    """Makes what runs an agent's training items, with the trainers, the data and the memory that its settings name.

    Raises Invalid for settings that cannot be right.
    """
    files = WeightFiles(settings.cache / FOLDER)

    def host() -> Host:
        from agents.trainers.host import TrainerHost  # slow to import, and most agents are never asked to train

        return TrainerHost(settings.trainers, settings.training_data, settings.trainer_bytes)

    if settings.trainers or settings.training_data:
        host()  # what is said wrongly is told at the start, not to whoever pays for training; no process begins yet
    return lambda claims: TrainingItems(port, host, claims, files)
