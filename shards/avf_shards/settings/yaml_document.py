"""A text in YAML, with the place of each of its values and the keys that are given twice."""

from collections.abc import Callable
from typing import Any

import yaml

_MAX_VALUES = 100_000  # with each alias counted as all that it stands for; a study of a paper's tables has hundreds
_MERGE_TAG = "tag:yaml.org,2002:merge"  # of the key `<<`, which takes over the keys of other tables


class YamlDocument:
    """The value of a YAML text, where each of its parts stands, and the keys that are given twice."""

    def __init__(self, text: str, name: str, position: Callable[[int], str]) -> None:
        """Parse `text`, whose value has the dotted name `name`. `position` names a line.

        Raises yaml.YAMLError, also for values that stand for too many others and for ones that no type holds.
        """
        self._position = position
        self.positions: dict[str, str] = {}
        self.faults: list[str] = []
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is not None and _count_values(node) > _MAX_VALUES:
                raise yaml.YAMLError(f"its aliases stand for more than {_MAX_VALUES:,} values")
            # Before the value is built, because building replaces the key `<<` by the keys that it takes over.
            if node is not None:
                self._note(node, name, node.start_mark.line, ())
            self.value: Any = None if node is None else loader.construct_document(node)
        except RecursionError:
            raise yaml.YAMLError("nested too deeply") from None
        except (ValueError, ArithmeticError, LookupError, AttributeError, TypeError) as error:
            # What PyYAML makes of a date without such a day, a number of 5,000 digits, or a value that its tag denies.
            raise yaml.YAMLError(f"a value that no type holds ({error})") from None
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
            for merged in reversed(_merged_tables(node)):  # a key that is given here, or in an earlier one, counts
                self._note(merged, name, line, parents)
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


def _merged_tables(node: yaml.MappingNode) -> list[yaml.Node]:
    """Return the tables whose keys a table takes over by the key `<<`, the one that counts first."""
    merged: list[yaml.Node] = []
    for key, item in node.value:
        if key.tag == _MERGE_TAG:
            merged += item.value if isinstance(item, yaml.SequenceNode) else [item]
    return [each for each in merged if isinstance(each, yaml.MappingNode)]


def _count_values(node: yaml.Node, counts: dict[int, int] | None = None) -> int:
    """Return how many values a node stands for, in time that grows with the text: an alias is counted once and added.

    An alias within its own anchor adds nothing.
    """
    counts = {} if counts is None else counts
    if id(node) not in counts:
        counts[id(node)] = 0  # while its parts are counted
        parts: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            parts = node.value
        elif isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        counts[id(node)] = 1 + sum(_count_values(part, counts) for part in parts)
    return counts[id(node)]
