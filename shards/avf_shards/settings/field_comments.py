"""The fields of a dataclass with the comments that explain them in its source."""

import ast
import dataclasses
import functools
import inspect
import io
import re
import sys
import textwrap
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNITS = {
    "s": "s",
    "ms": "ms",
    "ns": "ns",
    "px": "px",
    "mb": "MB",
    "gb": "GB",
    "bytes": "bytes",
    "db": "dB",
    "dbfs": "dBFS",
    "hz": "Hz",
    "frame": "frame at 25 fps",
    "frames": "frames at 25 fps",
    "pixels": "pixels",
    "share": "share, 0 to 1",
    "iou": "intersection over union",
    "epochs": "epochs",
    "steps": "steps",
}


@dataclass(frozen=True, kw_only=True)
class FieldNote:
    """A field of a dataclass as the reference shows it."""

    name: str  # of the field
    type: str  # as the source writes it
    default: str  # as the source writes it; empty: the field has none
    text: str  # the comment at the field, as one line


def field_notes(cls: type[Any]) -> list[FieldNote]:
    """Return the fields of a dataclass in order, those of its base classes first, with their comments."""
    notes: dict[str, FieldNote] = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base):
            notes |= {note.name: note for note in _notes_of_class(base)}
    return list(notes.values())


def unit_of_field(name: str) -> str:
    """Return the unit that the last word of a field's name says, or nothing."""
    return UNITS.get(name.rpartition("_")[2], "")


def _notes_of_class(cls: type[Any]) -> list[FieldNote]:
    module = sys.modules[cls.__module__]
    lines, tree, comments = _parse_module(str(inspect.getsourcefile(module)))
    (node,) = [item for item in ast.walk(tree) if isinstance(item, ast.ClassDef) and item.name == cls.__name__]
    notes = []
    for item in node.body:
        if not (isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)):
            continue
        type_text = ast.unparse(item.annotation)
        if type_text.startswith("ClassVar"):
            continue
        default = "" if item.value is None else _default_text(ast.unparse(item.value))
        text = _comment_at(item, lines, comments)
        notes.append(FieldNote(name=item.target.id, type=type_text, default=default, text=text))
    return notes


@functools.cache
def _parse_module(path: str) -> tuple[list[str], ast.Module, dict[int, str]]:
    """Return the lines of a module, its syntax tree, and line number -> comment."""
    source = Path(path).read_text("utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}
    return source.splitlines(), ast.parse(source), comments


def _comment_at(item: ast.AnnAssign, lines: list[str], comments: dict[int, str]) -> str:
    """Return the comment of a field: in its last line, or in whole lines above."""
    last = item.end_lineno or item.lineno
    parts = [comments[last]] if last in comments else []
    line = item.lineno - 1
    while line in comments and lines[line - 1].lstrip().startswith("#"):
        parts.insert(0, comments[line])
        line -= 1
    return " ".join(" ".join(re.sub(r"^#:?\s*", "", part) for part in parts).split())


def _default_text(text: str) -> str:
    factory = re.fullmatch(r"field\(default_factory=(?:lambda: )?(\w+)(?:, .*)?\)", text)
    if factory:
        return {"dict": "{}", "tuple": "()", "list": "[]"}.get(factory[1], f"{factory[1]}()")
    return textwrap.shorten(text, 60)
