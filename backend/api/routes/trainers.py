"""Trainers: what training jobs can name."""

from fastapi import APIRouter

from backend.api.dependencies import Market
from backend.api.security import Anyone
from backend.api.wire.training_jobs import Trainer, TrainerList
from backend.services import trainers

router = APIRouter(prefix="/api/v1/trainers", tags=["training"])


@router.get("")
def list_trainers(_: Anyone, market: Market) -> TrainerList:
    """What can be trained, and the metrics that a target may name."""
    return TrainerList(trainers=[Trainer.of(facts) for facts in trainers.list_trainers(market.uow())])
