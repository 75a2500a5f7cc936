"""Each setting of a recipe with its value and where it was given."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from avf_shards.settings.config import flatten

BUILT_IN = "the program"  # gave the value, because no file and no option did


@dataclass(frozen=True, kw_only=True)
class SettingOrigin:
    """A setting as a run would use it."""

    name: str  # with its tables, as sync.min_confidence
    value: Any  # as JSON has it
    position: str  # FILE:LINE, the option that gave it, or BUILT_IN


def list_settings(settings: Any, positions: Mapping[str, str], prefix: str = "") -> list[SettingOrigin]:
    """Return each value of a dataclass of settings, in the order of its fields.

    Args:
        settings: an instance of the dataclass.
        positions: where values were given, by their names.
        prefix: of the names, as "run."
    """
    return [
        SettingOrigin(name=f"{prefix}{name}", value=value, position=positions.get(f"{prefix}{name}", BUILT_IN))
        for name, value in flatten(dataclasses.asdict(settings)).items()
    ]


def describe_settings(settings: list[SettingOrigin]) -> str:
    """Return one line for each setting: name, value, and where it was given."""
    rows = [(setting.name, json.dumps(setting.value, ensure_ascii=False), setting.position) for setting in settings]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    widths[1] = min(widths[1], 40)  # one long value does not push all others aside
    return "\n".join(f"{name:{widths[0]}}  {value:{widths[1]}}  {position}" for name, value, position in rows)
