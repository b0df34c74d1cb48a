"""Which trainers a machine has, and what is imported for them."""

import subprocess
import sys

import numpy as np
import pytest

from agents.trainers.base import Arrays, Config, Metrics, Trainer, TrainerContext, UnknownTrainer
from agents.trainers.catalogue import ALLOWED_MAX, Catalogue, check_data, read_allowed
from backend.domain.errors import Invalid

HERE = __name__
CONTEXT = TrainerContext(None, 0, 1, 0, None, {})


class Needing:
    """A client that wants to know for whom it is."""

    def __init__(self, context: TrainerContext) -> None:
        self.context = context

    def get_parameters(self, _: Config) -> Arrays:
        return [np.zeros(1)]

    def fit(self, parameters: Arrays, _: Config) -> tuple[Arrays, int, Metrics]:
        return parameters, 1, {}

    def evaluate(self, _: Arrays, __: Config) -> tuple[float, int, Metrics]:
        return 0.0, 1, {}


class Alone(Needing):
    """A client that does not."""

    def __init__(self) -> None:
        super().__init__(CONTEXT)


class Half:
    """No client: it cannot evaluate."""

    def get_parameters(self, _: Config) -> Arrays:
        return []

    def fit(self, parameters: Arrays, _: Config) -> tuple[Arrays, int, Metrics]:
        return parameters, 1, {}


def make(context: TrainerContext) -> Needing:
    """What a function makes.

    Nothing more.
    """
    return Needing(context)


WHOLE = Trainer("another-name", "Said here", ("loss", "recall"), make)
NUMBER = 3


def test_built_in_trainers_are_there_without_being_asked_for() -> None:
    assert Catalogue().names == ["digits-linear", "digits-mlp"]
    for name in Catalogue().names:
        assert Catalogue().get(name).name == name


def test_a_name_is_all_that_a_catalogue_gives() -> None:
    with pytest.raises(UnknownTrainer):
        Catalogue().get("agents.trainers.digits:LINEAR")


@pytest.mark.parametrize("attribute", ["Needing", "Alone", "make", "WHOLE"])
def test_classes_functions_and_trainers_are_allowed(attribute: str) -> None:
    trainer = Catalogue(f" mine = {HERE}:{attribute} ,").get("mine")
    client = trainer.make(CONTEXT)
    assert isinstance(client, Needing)
    assert client.context is CONTEXT
    assert trainer.name == "mine"


def test_a_trainer_is_described_by_its_own_words_or_its_first_line() -> None:
    catalogue = Catalogue(f"a={HERE}:WHOLE,b={HERE}:make")
    assert (catalogue.get("a").description, catalogue.get("a").metrics) == ("Said here", ("loss", "recall"))
    assert (catalogue.get("b").description, catalogue.get("b").metrics) == ("What a function makes.", ("loss",))


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (f"{HERE}:NUMBER", "neither"),
        (f"{HERE}:Half", "lacks"),
        (f"{HERE}:none", "AttributeError"),
        ("no.such:module", "ModuleNotFoundError"),
    ],
)
def test_what_is_no_trainer_is_unknown_and_says_why(place: str, why: str) -> None:
    with pytest.raises(UnknownTrainer, match=why):
        Catalogue(f"mine={place}").get("mine")


@pytest.mark.parametrize(
    "text",
    [
        "mine",
        "mine=os",
        "mine=os.system",
        "mine=os:system()",
        "mine=:system",
        "mine=../os:system",
        "=os:system",
        "Mine=os:system",
        "a b=os:system",
        f"{'x' * 64}=os:system",
        "digits-mlp=os:system",
        "a=os:system,a=os:system",
        ",".join(f"t{one}=os:system" for one in range(ALLOWED_MAX + 1)),
    ],
    ids=lambda text: text[:20],
)
def test_a_list_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_allowed(text)
    assert refused.value.code == "invalid_trainers"


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys; from agents.trainers.host import TrainerHost; TrainerHost('mine=this:x');"
        "print([one for one in ('this', 'sklearn', 'safetensors', 'dp_accounting') if one in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.parametrize("data", [None, "/srv/data", "clinic.records:of"])
def test_data_are_in_a_folder_or_given_by_a_function(data: str | None) -> None:
    check_data(data)


def test_data_are_nowhere_else() -> None:
    with pytest.raises(Invalid) as refused:
        check_data("data")
    assert (refused.value.code, refused.value.field) == ("invalid_training_data", "SWARMEX_TRAINING_DATA")
