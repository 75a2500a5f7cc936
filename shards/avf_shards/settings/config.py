"""Convert settings from YAML, JSON, TOML or `--set key=value` into frozen dataclasses, strictly.

The error for an unknown key names the most similar known key; the error for a wrong type or value names the setting.
All faults of a set of settings are reported together.
"""

import dataclasses
import difflib
import re
import types
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from avf_shards.errors import UserError


class _Settings(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


T = TypeVar("T", bound=_Settings)


class Faults:
    """The faults of one set of settings, collected so that all of them are reported together."""

    def __init__(self, positions: Mapping[str, str] | None = None) -> None:
        """Collect nothing yet. `positions` is dotted name -> where the value was given, as "mine.yaml:3"."""
        self.messages: list[str] = []
        self._positions = positions or {}

    def add(self, full_key: str, message: str, *, fields: Iterable[str] = ()) -> None:
        """Add a sentence about the value at `full_key`, behind the position of that value.

        Args:
            fields: names of values below `full_key`, dotted where they lie in tables, that the sentence is about: their
                positions are named instead. One without a position has that of the nearest table below `full_key`.
        """
        prefix = f"{full_key}." if full_key else ""
        known = [self._nearest(prefix + name) for name in fields]
        positions = [self._positions[name] for name in known if name.startswith(prefix) and name]
        position = ", ".join(dict.fromkeys(positions)) or self.position(full_key)
        self.messages.append(f"{position}: {message}" if position else message)

    def position(self, full_key: str) -> str:
        """Return where the value at `full_key`, or else the nearest table around it, was given; empty if unknown."""
        return self._positions.get(self._nearest(full_key), "")

    def _nearest(self, full_key: str) -> str:
        """Return the dotted name, or else that of the nearest table around it, which has a position; else nothing."""
        while full_key not in self._positions and full_key:
            full_key = full_key[: max(full_key.rfind("."), full_key.rfind("["), 0)]
        return full_key

    def raise_all(self) -> None:
        """Raise UserError with each different message on a line of its own, unless there is none."""
        if self.messages:
            raise UserError("\n".join(dict.fromkeys(self.messages)))


def bind(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Return an instance of the dataclass `cls` from `values`.

    Fields without a default must be present. A dataclass may check itself in `__post_init__` and raise ValueError, with
    a line for each fault.

    Args:
        where: The dotted name of `values` for messages, as "sources.a".

    Raises:
        UserError: For unknown keys, missing values, and values of the wrong type or refused by the dataclass. The
            message has a line for each.
    """
    faults = Faults()
    bound = bind_collecting(cls, values, where, faults)
    faults.raise_all()
    assert bound is not None, "without a fault there is an instance"
    return bound


def bind_collecting(cls: type[T], values: Mapping[str, Any], where: str, faults: Faults) -> T | None:
    """Do what `bind` does, but add what is wrong to `faults`. Return None where a value is missing or refused."""
    if not isinstance(values, Mapping):
        faults.add(where, f"{where or 'settings'}: expected a table of settings, got {values!r}")
        return None
    fields = {field.name: field for field in dataclasses.fields(cls)}
    hints = get_type_hints(cls)
    prefix = f"{where}." if where else ""
    for key in values:
        if key not in fields:
            faults.add(f"{prefix}{key}", describe_unknown_key(f"{prefix}{key}", str(key), list(fields)))
    arguments: dict[str, Any] = {}
    known = len(faults.messages)
    for name, field in fields.items():
        if name in values:
            arguments[name] = _convert(hints[name], values[name], f"{prefix}{name}", faults)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            faults.add(f"{prefix}{name}", f"{prefix}{name}: missing, and it has no default")
    if len(faults.messages) > known:
        return None
    try:
        return cls(**arguments)
    except ValueError as error:
        for line in str(error).splitlines():
            names = [name for name in re.findall(r"\w+(?:\.\w+)*", line) if name.partition(".")[0] in fields]
            dotted = [name for name in names if "." in name]  # beside them "speaker" may be a value
            mentioned = dotted or names
            faults.add(where, f"{where or cls.__name__}: {line}", fields=mentioned)
        return None


def refuse(*rules: tuple[bool, str]) -> None:
    """Raise ValueError with the message of each rule (whether it is broken, message), a line for each broken rule."""
    messages = [message for broken, message in rules if broken]
    if messages:
        raise ValueError("\n".join(messages))


def describe_unknown_key(full_key: str, key: str, known: list[str], kind: str = "setting") -> str:
    """Return the message for a name that does not exist, with the most similar name that does.

    Args:
        full_key: The full name as it was given, as "optim.base_rl".
        key: The name that is compared with the `known` names.
        kind: What `key` should have been, for the message: "DOTTED: unknown KIND; did you mean ...?".
    """
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
    return f"{full_key}: unknown {kind}; {hint}"


def _convert(kind: Any, value: Any, full_key: str, faults: Faults) -> Any:
    """Return the value as `kind`; the result means nothing where a fault was added."""
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _convert(next(a for a in args if a is not type(None)), value, full_key, faults)
    if origin is Literal:
        if value not in args:
            faults.add(full_key, f"{full_key}: {value!r} is not one of {', '.join(map(repr, args))}")
        return value
    if origin is tuple:
        if isinstance(value, list | tuple):
            return tuple(_convert(args[0], item, f"{full_key}[{i}]", faults) for i, item in enumerate(value))
        return faults.add(full_key, f"{full_key}: expected a list, got {value!r}")
    if origin in (dict, Mapping):
        if isinstance(value, Mapping):
            return {str(key): _convert(args[1], item, f"{full_key}.{key}", faults) for key, item in value.items()}
        return faults.add(full_key, f"{full_key}: expected a table, got {value!r}")
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return bind_collecting(kind, value, full_key, faults)
    return _scalar(kind, value, full_key, faults)


_EXPONENT = re.compile(r"[+-]?\d+[eE][+-]?\d+")  # 1e-4, which YAML takes for text


def _scalar(kind: Any, value: Any, full_key: str, faults: Faults) -> Any:
    if kind is float and isinstance(value, str) and _EXPONENT.fullmatch(value):
        value = float(value)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if value != value or value in (float("inf"), float("-inf")):
            return faults.add(full_key, f"{full_key}: {value!r} is not a finite number")
        return float(value)
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind in (bool, str) and isinstance(value, kind):
        return value
    names = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
    return faults.add(full_key, f"{full_key}: expected {names.get(kind, kind)}, got {value!r}")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over` in place of its own, nested tables key by key."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def nest(full_key: str, value: Any) -> dict[str, Any]:
    """Return a value under a dotted name as nested tables: `nest("a.b", 1)` is `{"a": {"b": 1}}`."""
    for name in reversed(full_key.split(".")):
        value = {name: value}
    return dict(value)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return dotted names -> values of a nested table: the reverse of `nest`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return a line "name: before -> now" for each value that is not the same in both tables; empty when none is.

    Only the first `_DIFFERENCES` lines are returned: two runs of different commands differ in thousands of values.
    """
    old, new = flatten(before), flatten(now)
    pairs = [(name, old.get(name, _ABSENT), new.get(name, _ABSENT)) for name in sorted(old | new)]
    lines = [f"  {name}: {value!r} -> {other!r}" for name, value, other in pairs if value != other]
    more = len(lines) - _DIFFERENCES
    return "\n".join(lines[:_DIFFERENCES] + ([f"  and {more:,} more"] if more > 0 else []))


_DIFFERENCES = 20


class _Absent:
    """Stands for a value that a table does not have, which is not the same as null."""

    def __repr__(self) -> str:
        return "absent"


_ABSENT = _Absent()
