"""Settings as they stand in YAML files and `--set key=value`, each with the file and line where it was given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from avf_shards.errors import UserError
from avf_shards.settings.config import Faults, T, bind_collecting, merge, nest

_MERGE_TAG = "tag:yaml.org,2002:merge"  # of the key `<<`, which takes over the keys of other tables


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
            positions={**self.positions, **over.positions},
            faults=(*self.faults, *over.faults),
        )

    def override(self, text: str, example: str) -> "YamlSettings":
        """Return these settings with one changed by `--set key=value`.

        Raises UserError, whose message shows `example`.
        """
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise UserError(f"--set {text}: expected key=value, as in --set {example}")
        try:
            document = _Document(value, name, lambda _: f"--set {text}")
        except yaml.YAMLError:
            raise UserError(f"--set {text}: {value!r} is not a value") from None
        # The tables around the value keep the lines of their files: only the value was given here.
        parts = name.split(".")
        around = {".".join(parts[:count]): f"--set {text}" for count in range(len(parts))}
        return YamlSettings(
            values=merge(self.values, nest(name, document.value)),
            positions={**around, **self.positions, **document.positions},
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


def read_settings(path: Path, label: str | None = None) -> YamlSettings:
    """Return the settings of a YAML file.

    Args:
        label: Name of the file in messages (default: `path`).

    Raises:
        UserError: The file cannot be read, or is no table in YAML.
    """
    label = label or str(path)
    try:
        document = _Document(path.read_text("utf-8"), "", lambda line: f"{label}:{line}")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a recipe file ({error})") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        reason = ", ".join(filter(None, (error.context, error.problem)))
        raise UserError(f"{label}{line}: not a recipe file ({reason})") from None
    except yaml.YAMLError as error:
        raise UserError(f"{label}: not a recipe file ({' '.join(str(error).split())})") from None
    value = {} if document.value is None else document.value
    if not isinstance(value, dict):
        raise UserError(f"{label}: a recipe is a table of settings, this is {type(value).__name__}")
    return YamlSettings(
        values={str(key): item for key, item in value.items()},
        positions={**document.positions, "": label},
        faults=tuple(document.faults),
    )


class _Document:
    """The value of a YAML text, where each of its parts stands, and the keys that are given twice."""

    def __init__(self, text: str, name: str, position: Callable[[int], str]) -> None:
        """Parse `text`, whose value has the dotted name `name`. `position` names a line. Raises yaml.YAMLError."""
        self._position = position
        self.positions: dict[str, str] = {}
        self.faults: list[str] = []
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            # Before the value is built, because building replaces the key `<<` by the keys that it takes over.
            if node is not None:
                self._note(node, name, node.start_mark.line, ())
            self.value: Any = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()

    def _note(self, node: yaml.Node, name: str, line: int, parents: tuple[yaml.Node, ...]) -> None:
        """Note the positions of a node and of all below. `line` is that of the node's key, counted from 0."""
        self.positions[name] = self._position(line + 1)
        if any(node is parent for parent in parents):  # an alias within its own anchor
            return
        parents = (*parents, node)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._note(item, f"{name}[{index}]", item.start_mark.line, parents)
        elif isinstance(node, yaml.MappingNode):
            first: dict[str, int] = {}
            for key, item in node.value:
                if key.tag == _MERGE_TAG or not isinstance(key, yaml.ScalarNode):
                    continue
                key_line, key_name = key.start_mark.line, f"{name}.{key.value}" if name else key.value
                if key.value in first:
                    where = f"{self._position(key_line + 1)}: {key_name}: given twice"
                    self.faults.append(f"{where}, first in line {first[key.value] + 1}; keep one of them")
                first.setdefault(key.value, key_line)
                self._note(item, key_name, key_line, parents)
