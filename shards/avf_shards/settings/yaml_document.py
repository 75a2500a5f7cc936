"""A text in YAML, with the place of each of its values and the keys that are given twice."""

from collections.abc import Callable
from typing import Any

import yaml

_MERGE_TAG = "tag:yaml.org,2002:merge"  # of the key `<<`, which takes over the keys of other tables


class YamlDocument:
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
