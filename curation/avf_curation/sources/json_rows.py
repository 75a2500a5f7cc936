"""Rows of a JSON file that is a list of objects, read one after another: a list of 557 MB takes the memory of a row."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.system.storage_faults import open_plain

_CHUNK_CHARACTERS = 1 << 18
_MAX_ROW_CHARACTERS = 1 << 22  # four million; a row of a corpus has a thousand


def read_json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number from 0, row) of the rows of a list.

    Raises UserError, which names the file and the row, for what is no list of JSON objects, ends early, or is no UTF-8.
    """
    decoder = json.JSONDecoder()
    with open(path, encoding="utf-8-sig", opener=open_plain) as file:
        text, position, number, is_end, is_list = "", 0, 0, False, False
        while True:
            position = _skip(text, position, "," if is_list else "")
            if not is_list and position < len(text):
                if text[position] != "[":
                    raise UserError(f"{path}: is no list of JSON objects: it begins with {text[position:][:20]!r}")
                position, is_list = _skip(text, position + 1), True
            if is_list and text[position : position + 1] == "]":
                return
            row, stop = _take_row(decoder, text, position) if is_list else (None, 0)
            if stop:
                if not isinstance(row, dict):
                    raise UserError(f"{path}: row {number} is no JSON object")
                yield number, row
                number, position = number + 1, stop
                continue
            if is_end or len(text) - position > _MAX_ROW_CHARACTERS:
                raise UserError(f"{path}: is no JSON list from row {number} on: the file is damaged or incomplete")
            try:
                chunk = file.read(_CHUNK_CHARACTERS)
            except UnicodeDecodeError:
                raise UserError(f"{path}: is not UTF-8 behind row {number}") from None
            text, position, is_end = text[position:] + chunk, 0, not chunk


def _skip(text: str, position: int, separators: str = "") -> int:
    """Return the position of the next character that is neither a space nor a separator."""
    while position < len(text) and text[position] in " \t\r\n" + separators:
        position += 1
    return position


def _take_row(decoder: json.JSONDecoder, text: str, position: int) -> tuple[Any, int]:
    """Return the value at a position of a text and where it ends; (None, 0) where the text does not hold all of it."""
    try:
        return decoder.raw_decode(text, position)
    except (ValueError, RecursionError):
        return None, 0
