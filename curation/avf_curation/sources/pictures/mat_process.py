"""Read imdb.mat or wiki.mat in a process of its own: `... mat_process PARENT FILE STRUCT` writes its pictures."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avf_curation.sources.owners_numbers import parse_box, parse_number
from avf_curation.sources.table_process import TableError, TableLimits, rows_of_child, write_rows

MAX_PICTURES = 2_000_000  # of a table; IMDB has 460,723
_MAX_BYTES = 500_000_000  # of the file
_LIMITS = TableLimits(cpu_s=600, memory_bytes=4_000_000_000)
_FIELDS = ("full_path", "face_location", "face_score", "second_face_score")


def read_mat(path: Path, struct: str) -> Iterator[dict[str, Any]]:
    """Yield the path, scores (None: not a finite number) and box of each picture in a table. Raises TableError."""
    return rows_of_child(__name__, (str(path), struct), _LIMITS)


def _list_pictures(path: Path, name: str) -> Iterator[dict[str, Any]]:
    from scipy.io import loadmat

    if path.stat().st_size > _MAX_BYTES:
        raise TableError(f"it has more than {_MAX_BYTES / 1e6:.0f} MB")
    table = loadmat(path, squeeze_me=False, struct_as_record=True, variable_names=[name]).get(name)
    if table is None or table.dtype.names is None or table.size != 1:
        raise TableError(f"it holds no struct {name}")
    missing = [field for field in _FIELDS if field not in table.dtype.names]
    if missing:
        raise TableError(f"its struct {name} has no {', '.join(missing)}")
    columns = [table[field].reshape(-1)[0].reshape(-1) for field in _FIELDS]
    if len({len(column) for column in columns}) != 1 or len(columns[0]) > MAX_PICTURES:
        raise TableError(f"its columns have {', '.join(f'{len(column):,}' for column in columns)} entries")
    for full_path, box, score, second in zip(*columns, strict=True):
        yield {
            "path": str(full_path.reshape(-1)[0]) if full_path.size else "",
            "box": parse_box(box.reshape(-1)[:4]),
            "score": parse_number(score),
            "second": parse_number(second),
        }


if __name__ == "__main__":
    write_rows(int(sys.argv[1]), lambda: _list_pictures(Path(sys.argv[2]), sys.argv[3]), _LIMITS)
