"""Convert settings from YAML, JSON, TOML or `--set key=value` into frozen dataclasses, strictly.

The error for an unknown key names the most similar known key; the error for a wrong type or value names the setting.
"""

import dataclasses
import difflib
import re
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from avf_shards.errors import UserError


class _Settings(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


T = TypeVar("T", bound=_Settings)


def bind(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Return an instance of the dataclass `cls` from `values`.

    Fields without a default must be present. A dataclass may check itself in `__post_init__` and raise ValueError.

    Args:
        where: The dotted name of `values` for messages, as "sources.a".

    Raises:
        UserError: For an unknown key, a missing value, and a value of the wrong type or refused by the dataclass.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{where or 'settings'}: expected a table of settings, got {values!r}")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    hints = get_type_hints(cls)
    for key in values:
        if key not in fields:
            raise UserError(describe_unknown_key(f"{where}.{key}" if where else str(key), str(key), list(fields)))
    arguments: dict[str, Any] = {}
    for name, field in fields.items():
        full_key = f"{where}.{name}" if where else name
        if name in values:
            arguments[name] = _convert(hints[name], values[name], full_key)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise UserError(f"{full_key}: missing, and it has no default")
    try:
        return cls(**arguments)
    except ValueError as error:
        raise UserError(f"{where or cls.__name__}: {error}") from error


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


def _convert(kind: Any, value: Any, full_key: str) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _convert(next(a for a in args if a is not type(None)), value, full_key)
    if origin is Literal:
        if value not in args:
            raise UserError(f"{full_key}: {value!r} is not one of {', '.join(map(repr, args))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise UserError(f"{full_key}: expected a list, got {value!r}")
        return tuple(_convert(args[0], item, f"{full_key}[{i}]") for i, item in enumerate(value))
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise UserError(f"{full_key}: expected a table, got {value!r}")
        return {str(key): _convert(args[1], item, f"{full_key}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return bind(kind, value, full_key)
    return _scalar(kind, value, full_key)


_EXPONENT = re.compile(r"[+-]?\d+[eE][+-]?\d+")  # 1e-4, which YAML takes for text


def _scalar(kind: Any, value: Any, full_key: str) -> Any:
    if kind is float and isinstance(value, str) and _EXPONENT.fullmatch(value):
        value = float(value)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if value != value or value in (float("inf"), float("-inf")):
            raise UserError(f"{full_key}: {value!r} is not a finite number")
        return float(value)
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind in (bool, str) and isinstance(value, kind):
        return value
    names = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
    raise UserError(f"{full_key}: expected {names.get(kind, kind)}, got {value!r}")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over` in place of its own, nested tables key by key."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def read_table(path: Path, parse: Callable[[str], Any], fault: type[Exception]) -> dict[str, Any]:
    """Return the table of settings in a file. `parse` reads its text and raises `fault`. Raises UserError."""
    try:
        values = parse(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (fault, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a recipe file ({' '.join(str(error).split())})") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: a recipe is a table of settings, this is {type(values).__name__}")
    return {str(key): value for key, value in values.items()}


def override(text: str, parse: Callable[[str], Any], fault: type[Exception], example: str) -> dict[str, Any]:
    """Return the nested table that `--set key=value` stands for; `parse` and `fault` are as in `read_table`.

    Raises UserError, whose message shows `example`.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UserError(f"--set {text}: expected key=value, as in --set {example}")
    try:
        return nest(name.strip(), parse(value))
    except fault:
        raise UserError(f"--set {text}: {value!r} is not a value") from None


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
