"""The stages that installed packages add, by entry points of the group `avf_foundry.stages`.

The value of such an entry point is a `Stage`. It runs where a recipe names it: with a table of its settings, or a gate.
"""

import dataclasses
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from avf_shards.errors import UserError
from avf_shards.settings.config import bind, refuse
from avf_shards.system.installed_packages import (
    Addition,
    code_digest,
    error_text,
    find_addition,
    list_additions,
    load_addition,
    unusable,
)
from avf_shards.text import printable

from avf_curation.stages.definition import Stage
from avf_curation.stages.own_stages import OWN_STAGES
from avf_curation.stages.reasons import REASONS, Reason
from avf_curation.stages.undecided import UNDECIDED

ADDED_STAGES = "avf_foundry.stages"
_KIND = "stage"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MAX_SENTENCE = 1_000  # characters of what a package says of its stage and reasons
#: Names that a stage cannot have: ours, the other tables of a recipe, and what a ledger has beside stages.
RESERVED = frozenset(
    {stage.name for stage in OWN_STAGES}
    | {"plan", "media", "gates", "clip", "run", "sources", "hybrid", "open", "takedown", "undecided", "input"}
    | {"speech", "identity", "score_all", "score_seed", "added_stages"}
)


@dataclass(frozen=True, kw_only=True)
class AddedStage:
    """A stage of an installed package."""

    stage: Stage  # as the package defines it
    package: str  # name and version
    versions: Mapping[str, str]  # for the fingerprint: the package's version, and the digest of its files


def list_stage_names() -> list[str]:
    """Return the names of the stages that installed packages add, sorted, without importing them."""
    return sorted(list_additions(ADDED_STAGES))


@functools.cache
def load_stage(name: str) -> AddedStage | None:
    """Return a stage that an installed package adds, or None where none adds it.

    Raises UserError where two packages add it, or the package cannot be used.
    """
    addition = find_addition(ADDED_STAGES, name, name, _KIND)
    if addition is None:
        return None
    stage = load_addition(addition, name, _KIND, _check_name)
    try:
        _check_stage(stage, name)
    except ValueError as error:
        raise UserError(unusable(addition, name, _KIND, error)) from error
    assert isinstance(stage, Stage)
    return AddedStage(stage=stage, package=addition.package, versions=_versions(addition))


def _versions(addition: Addition) -> dict[str, str]:
    root = addition.entry.module.partition(".")[0]
    return {addition.project: addition.version, f"{root}/*": code_digest(addition)}


def is_usable(name: str) -> bool:
    """Return whether an installed package adds a stage of this name that can be used."""
    try:
        return load_stage(name) is not None
    except UserError:
        return False


def reasons_with(names: Iterable[str]) -> dict[str, Reason]:
    """Return all reasons, "stage/reason" -> its sentence, with those of the packages' stages among `names`.

    A stage whose package is not installed, or cannot be used, has none.
    """
    reasons = dict(REASONS)
    for name in sorted(set(names) - RESERVED):
        added = load_stage(name) if is_usable(name) else None
        if added is not None:
            reasons |= {f"{name}/{reason}": meaning for reason, meaning in added.stage.reasons.items()}
            reasons.setdefault(f"{name}/{UNDECIDED}", REASONS[f"quality/{UNDECIDED}"])
    return reasons


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: use 1 to 40 lower-case letters, digits and '_', a letter first")
    if name in RESERVED:
        raise ValueError(f"{name!r} is a name of ours")


def _check_stage(stage: object, name: str) -> None:
    """Raise ValueError with a line for each thing that is wrong about a package's stage."""
    if not isinstance(stage, Stage):
        raise ValueError(f"its entry point is {type(stage).__name__}, not a Stage")
    config = stage.config
    parameters = getattr(config, "__dataclass_params__", None)
    frozen = isinstance(config, type) and parameters is not None and parameters.frozen
    refuse(
        (stage.name != name, f"it calls itself {stage.name!r:.60}"),
        (not frozen, f"config {config!r:.80} is no frozen dataclass"),
        (not callable(stage.measure), "measure is no function"),
        (not callable(stage.decide), "decide is no function"),
        (not _has_all(stage.gates, "decide", "measure", "skip"), "gates must be decide, measure and skip"),
        (stage.content != ("clips",), "content must be clips: stages of packages measure clips"),
        (not isinstance(stage.thresholds, tuple), f"thresholds {stage.thresholds!r:.80} are no tuple of names"),
        (not isinstance(stage.reasons, Mapping), f"reasons {stage.reasons!r:.80} are no table of names and Reasons"),
        (not stage.reasons, "it has no reasons"),
        (not _is_line(stage.about), "about says nothing, or is no text of one line"),
    )
    _check_reasons(stage.reasons)
    _check_settings(config, stage.thresholds)


def _has_all(values: object, *names: str) -> bool:
    """Return whether a tuple has these names and no others, in any order."""
    return isinstance(values, tuple) and sorted(map(repr, values)) == sorted(map(repr, names))


def _is_line(text: object) -> bool:
    """Return whether a value is a text that a table, a page and a terminal can show as one line."""
    return isinstance(text, str) and bool(text.strip()) and len(text) <= _MAX_SENTENCE and printable(text) == text


def _check_reasons(reasons: Mapping[Any, Any]) -> None:
    for name, reason in reasons.items():
        usable_name = _NAME.fullmatch(str(name)) and name != UNDECIDED
        if not usable_name or not isinstance(reason, Reason):
            raise ValueError(f"reason {name!r:.60} needs a name in lower case, and a Reason")
        if not _is_line(reason.sentence) or not _is_line(reason.score):
            raise ValueError(f"reason {name}: sentence and score must each be a text of one line, and not be empty")


def _check_settings(config: type[Any], thresholds: tuple[str, ...]) -> None:
    """Raise ValueError unless a recipe can hold the settings, and each has a default that it could hold too."""
    fields = {item.name: item for item in dataclasses.fields(config)}
    missing = dataclasses.MISSING
    refuse(
        *(
            (item.default is missing and item.default_factory is missing, f"setting {field} has no default")
            for field, item in fields.items()
        ),
        *((not _NAME.fullmatch(field), f"setting {field!r} is no name of a setting") for field in fields),
    )
    try:
        defaults = dataclasses.asdict(config())
        bind(config, defaults)
    except Exception as error:  # of the package's own code, or a type that no recipe has
        raise ValueError(f"its default settings: {error_text(error)}") from error
    for setting in thresholds:
        if type(defaults.get(str(setting))) not in (int, float):
            raise ValueError(f"threshold {setting!r:.60} is no setting that is a number")
