"""Folders of numbered pictures, and tables as .xlsx files, for the micro-expression corpora."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from avf_curation.media.types import Bytes
from openpyxl import Workbook


def sheet(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """An .xlsx file with these rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    book = Workbook()
    for row in rows:
        book.active.append(list(row))
    book.save(path)


def pictures(folder: Path, names: Iterable[str], frames: Sequence[Bytes] | None = None) -> None:
    """A picture for each name: of `frames` in turn, or grey."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(names):
        frame = np.full((48, 64, 3), 10 * place % 250, np.uint8) if frames is None else frames[place % len(frames)]
        cv2.imwrite(str(folder / name), frame)
