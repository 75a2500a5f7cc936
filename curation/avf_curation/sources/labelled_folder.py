"""A plain folder with a labels.csv: your own labelled corpus.

    file,label,subject,session,fold
    anna/take_1.mp4,happy,anna,1,2

`file` is relative to the folder. `subject`, `session`, `fold` (of the test set a file is in, from 1 on), `speaker` and
`language` may be missing; every other column is a label.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels

from avf_curation.recipe import PlanConfig
from avf_curation.sources.folder import list_videos
from avf_curation.sources.types import SkippedInput, Video, is_readable

TABLE = "labels.csv"
_KNOWN = ("file", "subject", "session", "fold", "speaker", "language")


def has_labels(root: Path) -> bool:
    """Whether a folder is such a corpus."""
    return (root / TABLE).is_file()


def read(root: Path, source: str, config: PlanConfig, skipped_inputs: list[SkippedInput]) -> Iterator[Video]:
    """Every file that the table names and that is there. Raises UserError for a table without files or labels."""
    rows = _rows(root, source, skipped_inputs)
    for video in list_videos(root, source, config, skipped_inputs):
        if video.path == TABLE:
            continue
        row = rows.pop(is_readable(video.path), None)
        if row is None:
            skipped_inputs.append(
                SkippedInput(
                    source=source, path=is_readable(video.path), reason=f"{TABLE} has no such row", kind="unlisted"
                )
            )
            continue
        labels = _labels(row, source, skipped_inputs)
        if labels is not None:
            speaker = row.get("speaker") or labels.subject
            yield replace(video, speaker=speaker, language=row.get("language") or None, labels=labels)
    for left in sorted(rows):
        skipped_inputs.append(
            SkippedInput(source=source, path=f"{TABLE}: {left}", reason="no such file", kind="missing")
        )


def _rows(root: Path, source: str, skipped_inputs: list[SkippedInput]) -> dict[str, dict[str, str]]:
    where = f"--source {source}={root}: {TABLE}"
    try:
        reader = csv.DictReader(io.StringIO((root / TABLE).read_text("utf-8-sig")), strict=True)
        names = [name.strip() for name in reader.fieldnames or ()]
        found: dict[str, dict[str, str]] = {}
        for number, values in enumerate(reader, 2):
            row = {name: (value or "").strip() for name, value in zip(names, values.values(), strict=False)}
            if None in values or not row.get("file"):
                why = "more fields than columns" if None in values else "no file"
                skipped_inputs.append(
                    SkippedInput(source=source, path=f"{TABLE}: row {number}", reason=why, kind="bad_row")
                )
            elif row["file"] in found:
                skipped_inputs.append(
                    SkippedInput(
                        source=source,
                        path=f"{TABLE}: row {number}",
                        reason=f"{row['file']} once more",
                        kind="duplicate",
                    )
                )
            else:
                found[row["file"]] = row
    except UnicodeDecodeError:
        raise UserError(f"{where} is not UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{where} is no CSV table ({error})") from None
    if "file" not in names or not set(names) - set(_KNOWN):
        raise UserError(f"{where} needs a column `file` and one of labels; it has {', '.join(names) or 'none'}")
    return found


def _labels(row: dict[str, str], source: str, skipped_inputs: list[SkippedInput]) -> Labels | None:
    fold = row.get("fold", "")
    if fold and not fold.isdigit():
        skipped_inputs.append(
            SkippedInput(
                source=source, path=f"{TABLE}: {row['file']}", reason=f"fold {fold!r} is no number", kind="bad_row"
            )
        )
        return None
    values = {name: value for name, value in row.items() if name not in _KNOWN and value}
    folds = {"own": int(fold)} if fold else {}
    return Labels(values=values, subject=row.get("subject") or None, session=row.get("session") or None, folds=folds)
