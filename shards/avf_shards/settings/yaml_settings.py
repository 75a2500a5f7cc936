"""Settings as they stand in YAML files and `--set key=value`, each with the file and line where it was given."""

import copy
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avf_shards.errors import UserError
from avf_shards.settings.config import Faults, T, bind_collecting, merge, nest

if TYPE_CHECKING:
    from avf_shards.settings.yaml_document import YamlDocument


@dataclass(frozen=True, kw_only=True)
class YamlSettings:
    """A nested table of settings, where each value was given, and the faults that reading found."""

    values: Mapping[str, Any]  # nested tables
    positions: Mapping[str, str] = field(default_factory=dict)  # dotted name -> "FILE:LINE" or "--set KEY=VALUE"
    faults: tuple[str, ...] = ()  # sentences, one for each key that is given twice

    def merge(self, over: "YamlSettings") -> "YamlSettings":
        """Return these settings with those of `over` in place of their own, nested tables key by key."""
        return YamlSettings(
            values=merge(self.values, over.values),
            positions={**_positions_that_stay(self.positions, self.values, over.values), **over.positions},
            faults=(*self.faults, *over.faults),
        )

    def override(self, text: str, example: str) -> "YamlSettings":
        """Return these settings with one changed by `--set key=value`.

        Raises UserError, whose message shows `example`.
        """
        import yaml  # only here and below: a run's frozen settings are read without it

        from avf_shards.settings.yaml_document import YamlDocument

        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise UserError(f"--set {text}: expected key=value, as in --set {example}")
        try:
            document = YamlDocument(value, name, lambda _: f"--set {text}")
        except yaml.YAMLError:
            raise UserError(f"--set {text}: {value!r} is not a value") from None
        # The tables around the value keep the lines of their files: only the value was given here.
        parts = name.split(".")
        around = {".".join(parts[:count]): f"--set {text}" for count in range(len(parts))}
        given = nest(name, document.value)
        return YamlSettings(
            values=merge(self.values, given),
            positions={**around, **_positions_that_stay(self.positions, self.values, given), **document.positions},
            faults=(*self.faults, *document.faults),
        )

    def bind(self, cls: type[T]) -> T:
        """Return the settings as an instance of the dataclass `cls`.

        Raises:
            UserError: A line for each fault: those of reading first, then those of `avf_shards.settings.config.bind`.
        """
        faults = self.start_faults()
        bound = bind_collecting(cls, self.values, "", faults)
        faults.raise_all()
        assert bound is not None, "without a fault there is an instance"
        return bound

    def start_faults(self) -> Faults:
        """Return a collection that has the faults of reading and adds positions to those that are added."""
        faults = Faults(self.positions)
        faults.messages += self.faults
        return faults


def _positions_that_stay(
    positions: Mapping[str, str], values: Mapping[str, Any], over: Mapping[str, Any]
) -> dict[str, str]:
    """Return the positions without those of values that stand in tables of `values` which `over` replaces."""
    replaced = tuple(f"{name}{below}" for name in _replaced_names(values, over, "") for below in ".[")
    return {name: position for name, position in positions.items() if not name.startswith(replaced)}


def _replaced_names(values: Mapping[str, Any], over: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Yield the dotted names of values that `merge` replaces, and does not merge."""
    for key in values.keys() & over.keys():
        if isinstance(values[key], Mapping) and isinstance(over[key], Mapping):
            yield from _replaced_names(values[key], over[key], f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def read_settings(path: Path, label: str | None = None, *, noun: str = "recipe") -> YamlSettings:
    """Return the settings of a YAML file.

    Args:
        label: Name of the file in messages (default: `path`).
        noun: What such a file is, for messages.

    Raises:
        UserError: The file cannot be read, or is no table in YAML.
    """
    import yaml

    label = label or str(path)
    try:
        document = _parse(path.read_text("utf-8"), label)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a {noun} file ({error})") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        reason = ", ".join(filter(None, (error.context, error.problem)))
        raise UserError(f"{label}{line}: not a {noun} file ({reason})") from None
    except yaml.YAMLError as error:
        raise UserError(f"{label}: not a {noun} file ({' '.join(str(error).split())})") from None
    value = {} if document.value is None else copy.deepcopy(document.value)
    if not isinstance(value, dict):
        raise UserError(f"{label}: a {noun} is a table of settings, this is {type(value).__name__}")
    return YamlSettings(
        values={str(key): item for key, item in value.items()},
        positions={**document.positions, "": label},
        faults=tuple(document.faults),
    )


@functools.lru_cache(maxsize=16)
def _parse(text: str, label: str) -> "YamlDocument":
    """Return a parsed file, which the caller does not change: a command reads the recipe of the package many times."""
    from avf_shards.settings.yaml_document import YamlDocument

    return YamlDocument(text, "", lambda line: f"{label}:{line}")
