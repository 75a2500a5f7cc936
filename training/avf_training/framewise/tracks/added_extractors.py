"""Extractors that installed packages add, by entry points of the group `avf_foundry.extractors`. Without torch."""

import functools
import re
from collections.abc import Collection
from dataclasses import dataclass

from avf_shards.errors import UserError
from avf_shards.settings.config import refuse
from avf_shards.system.installed_packages import (
    Addition,
    code_digest,
    find_addition,
    list_additions,
    load_addition,
    unusable,
)

from avf_training.framewise.tracks.extractor_definition import Extractor

ADDED_EXTRACTORS = "avf_foundry.extractors"
_KIND = "extractor"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, kw_only=True)
class AddedExtractor:
    """An extractor of an installed package."""

    extractor: Extractor  # as the package defines it
    addition: Addition  # the package

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """What the identity of its tracks has of the package: name, version and digest of its files."""
        return {"package": self.addition.package, "package_sha256": code_digest(self.addition)}


def list_extractor_names(own: Collection[str] = ()) -> list[str]:
    """Return the names that installed packages add, without importing them, but for those that `own` has."""
    return sorted(set(list_additions(ADDED_EXTRACTORS)) - set(own))


@functools.cache
def find_added_extractor(name: str) -> AddedExtractor | None:
    """Return an extractor that an installed package adds, or None where none adds it.

    Raises UserError where two packages add it, or the package cannot be used.
    """
    where = f"--extractor {name}"
    addition = find_addition(ADDED_EXTRACTORS, name, where, _KIND)
    if addition is None:
        return None
    value = load_addition(addition, where, _KIND, _check_name)
    try:
        if not isinstance(value, Extractor):
            raise ValueError(f"its entry point is {type(value).__name__}, not an Extractor")
        refuse(
            (value.name != name, f"it calls itself {value.name!r}"),
            (
                value.reads not in ("pictures", "sound", "clips"),
                f"reads {value.reads!r} is not pictures, sound or clips",
            ),
            (not isinstance(value.about, str) or not value.about.strip(), "about says nothing"),
            (not re.fullmatch(r"[\w.]+:\w+", str(value.load)), f"load {value.load!r} is not MODULE:FUNCTION"),
        )
    except ValueError as error:
        raise UserError(unusable(addition, where, _KIND, error)) from error
    return AddedExtractor(extractor=value, addition=addition)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: use 1 to 40 lower-case letters, digits and '_', a letter first")
