"""Folders of numbered images and tables as .xlsx files, the input of micro-expression corpora."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from avf_curation.media.types import Bytes
from openpyxl import Workbook


def write_xlsx(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write an .xlsx file with these rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    book = Workbook()
    for row in rows:
        book.active.append(list(row))
    book.save(path)


def write_images(folder: Path, names: Iterable[str], frames: Sequence[Bytes] | None = None) -> None:
    """Write an image for each name: the entries of `frames` in turn, or grey images."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        frame = np.full((48, 64, 3), 10 * index % 250, np.uint8) if frames is None else frames[index % len(frames)]
        cv2.imwrite(str(folder / name), frame)
