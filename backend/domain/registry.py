"""The rules of the model registry: references, aliases, tags, stages and filters. What a file holds is another's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from backend.domain.errors import Conflict, Invalid, shown, unknown_choice
from backend.domain.nodes import check_name
from backend.domain.tensors import DATATYPES

ALIAS_SIGN = "@"  # `digits@champion`: usable wherever the name of a model is
REFERENCE_CHARS_MAX = 127
ALIASES_MAX = 32  # of one name
TAGS_MAX = 32  # of one version
TAG_CHARS_MAX = 200
DESCRIPTION_CHARS_MAX = 2_000
SEARCH_CHARS_MAX = 100
TRAINER_PREFIX = "trainer."  # of names that are trainers', and no model's
LATEST = "latest"  # what a name without an alias means, so no alias may be called so
_ALIAS = re.compile(r"[a-z][a-z0-9._-]{0,62}", re.ASCII)
_TAG = re.compile(r"[a-z0-9][a-z0-9._/-]{0,62}", re.ASCII)


class Format(StrEnum):
    """What a version is: an ONNX file, a document that names a server elsewhere, or a trainer.

    A trainer is no model and has no file: it is registered so that orders of training can refer to it.
    """

    ONNX = "onnx"
    REMOTE = "remote"
    TRAINER = "trainer"


MODEL_FORMATS = (Format.ONNX, Format.REMOTE)


class Stage(StrEnum):
    """How far a version has come; at most one version of a name is in production."""

    NONE = "none"
    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"


MOVES: Mapping[Stage, tuple[Stage, ...]] = {
    Stage.NONE: (Stage.STAGING, Stage.ARCHIVED),
    Stage.STAGING: (Stage.NONE, Stage.PRODUCTION, Stage.ARCHIVED),
    Stage.PRODUCTION: (Stage.STAGING, Stage.ARCHIVED),
    Stage.ARCHIVED: (Stage.NONE, Stage.STAGING),
}


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """Which versions a list shows; None means any. `tag` is `key` or `key=value`, `text` is searched for."""

    prefix: str | None = None
    tag: str | None = None
    stage: str | None = None
    datatype: str | None = None
    format: str | None = None
    text: str | None = None
    deleted: bool = False

    def check(self) -> None:
        """Raise Invalid for what no version can have."""
        if self.stage is not None:
            parse_stage(self.stage)
        if self.datatype is not None and self.datatype not in DATATYPES and self.datatype != "BYTES":
            raise unknown_choice("datatype", self.datatype, [*DATATYPES, "BYTES"])
        if self.format is not None and self.format not in MODEL_FORMATS:
            raise unknown_choice("format", self.format, MODEL_FORMATS)
        for field, text in (("prefix", self.prefix), ("search", self.text)):
            if text is not None and not 1 <= len(text) <= SEARCH_CHARS_MAX:
                raise Invalid(
                    f"{field} is too long or empty",
                    code=f"invalid_{field}",
                    field=field,
                    accepted=f"1 to {SEARCH_CHARS_MAX} characters",
                )


def split_reference(reference: str) -> tuple[str, str | None]:
    """`digits@champion` as its name and alias; no alias in a plain name. Checks neither."""
    name, sign, alias = reference.partition(ALIAS_SIGN)
    return name, alias if sign else None


def parse_version(text: str) -> int | None:
    """The number of a version in a path, None for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0 else None


def check_alias(alias: str) -> str:
    """`alias` if it can name a version; raises Invalid(`invalid_alias`)."""
    if alias == LATEST or not _ALIAS.fullmatch(alias):
        raise Invalid(
            f"{shown(alias)} cannot be an alias",
            code="invalid_alias",
            field="alias",
            accepted=f"1 to 63 of a-z 0-9 . _ -, starting with a letter, but not {LATEST}",
        )
    return alias


def merge_tags(tags: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """The tags of a version after a change; None takes one away. Raises Invalid(`invalid_tags`)."""
    merged: dict[str, str | None] = {**tags, **changes}
    kept = {key: value for key, value in merged.items() if value is not None}
    fit = all(
        _TAG.fullmatch(key) and (value is None or (len(value) <= TAG_CHARS_MAX and value.isprintable()))
        for key, value in changes.items()
    )
    if not fit or len(kept) > TAGS_MAX:
        raise Invalid(
            "the tags cannot be used",
            code="invalid_tags",
            field="tags",
            accepted=f"at most {TAGS_MAX}; keys of 1 to 63 of a-z 0-9 . _ / -, values up to {TAG_CHARS_MAX} characters",
        )
    return kept


def check_description(description: str) -> str:
    """`description` if people can read it; raises Invalid(`invalid_description`)."""
    if len(description) > DESCRIPTION_CHARS_MAX or not description.replace("\n", " ").isprintable():
        raise Invalid(
            "the description cannot be used",
            code="invalid_description",
            field="description",
            accepted=f"at most {DESCRIPTION_CHARS_MAX} printable characters, in lines",
        )
    return description


def check_model_name(name: str) -> None:
    """Raise Invalid(`invalid_name`) for what can name no model, and (`reserved_name`) for what names a trainer."""
    if check_name(name).startswith(TRAINER_PREFIX):
        raise Invalid(
            f"names that begin with {TRAINER_PREFIX} are for trainers",
            code="reserved_name",
            field="name",
            accepted=f"a name that does not begin with {TRAINER_PREFIX}",
        )


def parse_stage(word: str) -> Stage:
    """The stage of that name; raises Invalid(`invalid_stage`)."""
    if word not in list(Stage):
        raise unknown_choice("stage", word, list(Stage))
    return Stage(word)


def check_move(now: Stage, to: Stage) -> None:
    """Raise Conflict(`stage_move_refused`) where no version goes from the one stage to the other at once."""
    if to not in MOVES[now]:
        raise Conflict(
            f"a version does not go from {now} to {to}",
            code="stage_move_refused",
            field="stage",
            accepted=", ".join(MOVES[now]),
        )
