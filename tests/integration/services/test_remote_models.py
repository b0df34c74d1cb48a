"""Registering a model that stands elsewhere: the operator's own document is believed, a stranger's is not."""

import json
from pathlib import Path

import pytest

from backend.domain.errors import Invalid
from backend.domain.remote_models import FORMAT
from backend.domain.work import Profile
from backend.services.model_inspection import inspect_apart
from tests.market import Market
from tests.onnx_files import DOUBLING


@pytest.fixture
def document(tmp_path: Path) -> Path:
    told = {"format": FORMAT, "url": "http://gpu:8000", "model": "m", "profile": {"us_per_call": 70, "us_per_row": 3}}
    path = tmp_path / "remote.json"
    path.write_text(json.dumps(told | DOUBLING.to_wire()))
    return path


def test_the_operators_document_is_a_model_with_the_signature_and_the_times_that_it_states(
    market: Market, document: Path
) -> None:
    model = market.register("elsewhere", document)
    assert model.ref.signature == DOUBLING
    assert model.profile == Profile(70, 3)
    assert market.app.objects.checksum(model.ref.uri) == model.ref.checksum


def test_a_strangers_document_is_refused_since_he_would_state_his_own_price(document: Path) -> None:
    with pytest.raises(Invalid, match="cannot be served"):
        inspect_apart(document)


def test_a_document_with_a_fault_is_refused_by_the_field(market: Market, document: Path) -> None:
    document.write_text(document.read_text().replace('"us_per_row": 3', '"us_per_row": 0'))
    with pytest.raises(Invalid) as refusal:
        market.register("elsewhere", document)
    assert (refusal.value.code, refusal.value.field) == ("invalid_remote_model", "profile")
