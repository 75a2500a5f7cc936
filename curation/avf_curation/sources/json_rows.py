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
        text, is_end = "", False
        number, started = 0, False
        while True:
            text = text.lstrip(" \t\r\n" if not started else " \t\r\n,")
            if not started and text:
                if not text.startswith("["):
                    raise UserError(f"{path}: is no list of JSON objects: it begins with {text[:20]!r}")
                text, started = text[1:].lstrip(), True
            if started and text.startswith("]"):
                return
            row, used = _take_row(decoder, text) if started and text else (None, 0)
            if row is not None:
                if not isinstance(row, dict):
                    raise UserError(f"{path}: row {number} is no JSON object")
                yield number, row
                number, text = number + 1, text[used:]
                if len(text) > _CHUNK_CHARACTERS // 8:
                    continue
            elif is_end or len(text) > _MAX_ROW_CHARACTERS:
                raise UserError(f"{path}: is no JSON list from row {number} on: the file is damaged or incomplete")
            try:
                chunk = file.read(_CHUNK_CHARACTERS)
            except UnicodeDecodeError:
                raise UserError(f"{path}: is not UTF-8 behind row {number}") from None
            is_end = not chunk
            text += chunk


def _take_row(decoder: json.JSONDecoder, text: str) -> tuple[Any, int]:
    """Return the value at the start of a text and its length; (None, 0) where the text does not hold all of it."""
    try:
        return decoder.raw_decode(text)
    except (ValueError, RecursionError):
        return None, 0
