"""JSON Schema of settings, from the dataclasses that read them: an editor completes and checks a recipe by it."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from avf_shards.settings.field_comments import field_notes, unit_of_field

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCALARS = {bool: "boolean", int: "integer", float: "number", str: "string"}

Schema = dict[str, Any]


def table_schema(cls: type[Any], defaults: Mapping[str, Any] | None = None) -> Schema:
    """Return the schema of a table that holds some of the fields of a dataclass, each with its comment and default.

    No field is required: a file has those that it changes.

    Args:
        cls: the dataclass.
        defaults: values of fields that a default file has; those of the dataclass hold for the others.
    """
    hints, given = get_type_hints(cls), defaults or {}
    notes = {note.name: note.text for note in field_notes(cls)}
    properties = {}
    for item in dataclasses.fields(cls):
        default = given.get(item.name, item.default)
        schema = value_schema(hints[item.name], default if isinstance(default, Mapping) else None)
        text = notes.get(item.name, "")
        unit = unit_of_field(item.name)
        text = f"{text} ({unit})" if unit and not text else text
        if text:
            schema["description"] = text
        if isinstance(default, bool | int | float | str | list) or (default is None and item.name in given):
            schema["default"] = default
        properties[item.name] = schema
    return {"type": "object", "additionalProperties": False, "properties": properties}


def list_leaves(schema: Schema, prefix: str = "") -> list[str]:
    """Return the dotted names of the values of a table that are no tables of named fields, in the order of fields."""
    names: list[str] = []
    for name, value in schema["properties"].items():
        names += list_leaves(value, f"{prefix}{name}.") if value.get("properties") else [f"{prefix}{name}"]
    return names


def value_schema(kind: Any, defaults: Mapping[str, Any] | None = None) -> Schema:
    """Return the schema of a value of a type, as `avf_shards.settings.config.bind` reads it.

    defaults: of the fields, where the type is a dataclass.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        (inner, *_) = (argument for argument in arguments if argument is not type(None))
        return {"anyOf": [value_schema(inner, defaults), {"type": "null"}]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": value_schema(arguments[0])}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": value_schema(arguments[1])}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return table_schema(kind, defaults)
    return {"type": _SCALARS[kind]} if kind in _SCALARS else {}
