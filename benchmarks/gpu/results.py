"""The JSON file of each part: its tables, the device that they were measured on, and whether the part has finished."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avf_shards.system import durable_io

SCHEMA_VERSION = 1  # raise it when a field is renamed, removed or gets another unit
Value = str | float | int | bool | None
Row = Mapping[str, Value]  # cells by the title of their column, which names the unit
DRY_RUN = "dry run"  # key of the device's facts: the figures mean nothing
PASSED = "passed"  # column of a check's outcome


def write_result(
    folder: Path, part: str, tables: Mapping[str, list[Row]], *, facts: Mapping[str, Value], seconds: float, done: bool
) -> None:
    """Write what a part has measured so far. done: the part has finished and need not run again."""
    result = {
        "schema_version": SCHEMA_VERSION,
        "part": part,
        "finished": done,
        "seconds": round(seconds, 1),
        "device": facts,
        "tables": tables,
    }
    durable_io.replace_file(folder / f"{part}.json", f"{json.dumps(result, indent=1)}\n".encode())


def read_result(folder: Path, part: str) -> dict[str, Any] | None:
    """Return the result of a part, or None where it has none of this schema version."""
    path = folder / f"{part}.json"
    if not path.is_file():
        return None
    result: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return result if result["schema_version"] == SCHEMA_VERSION else None


def failed_checks(result: Mapping[str, Any]) -> list[Row]:
    """Return the rows of a result whose check did not pass."""
    return [row for rows in result["tables"].values() for row in rows if row.get(PASSED) is False]
