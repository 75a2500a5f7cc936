"""The clips of shards as a list of cuts: which seconds and which part of the picture of which file each clip is.

With it others cut the same stretches out of the originals, at their own size, as models that draw heads are trained on.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.format.index import ShardReader
from avf_shards.format.shard_manifest import read_manifest
from avf_shards.packing.cut_kinds import CUT_COLUMNS
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.schema.labels import Box4
from avf_shards.schema.versions import stamp
from avf_shards.system import durable_io
from avf_shards.text import table_cell

_EDGES = ("left_px", "top_px", "right_px", "bottom_px")


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A clip as a part of its input file."""

    key: str  # of the clip
    source: str  # name of the corpus or folder
    video_id: str  # within the source
    path: str  # of the file, relative to its source's folder
    start_s: float  # of the clip in the file, in seconds from its first picture
    stop_s: float  # end of the clip, likewise
    crop_px: (
        Box4 | None
    )  # part of the picture that holds the crop in every frame: left, top, right, bottom; None: unknown
    window_px: float  # side of the square that follows the face within it
    av_offset_ms: int  # by how much the sound is to be moved later, as that of the clip was
    person: int  # number of the person: 0 is the one with the largest face
    speaker: str | None  # as the corpus names the person; None where it does not
    language: str | None  # as the source says; None where it does not
    input_sha256: str  # of the file, in hexadecimal digits

    @classmethod
    def from_record(cls, record: ClipRecord) -> "Cut":
        """Return the cut of a clip."""
        first_s = record.start_s or 0.0
        return cls(
            key=record.key,
            source=record.source,
            video_id=record.video_id,
            path=record.path,
            start_s=round(first_s + record.span.start_s, 6),
            stop_s=round(first_s + record.span.stop_s, 6),
            crop_px=record.crop_px,
            window_px=record.window_px,
            av_offset_ms=record.av_offset_ms,
            person=record.track,
            speaker=record.speaker,
            language=record.language,
            input_sha256=record.input_sha256,
        )


def list_cuts(shards: Path) -> Iterator[Cut]:
    """Yield the cut of each clip, in the order of the shards.

    Raises UserError for shards of pictures, FaultError for a damaged shard.
    """
    manifest = read_manifest(shards)
    if manifest.content != "clips":
        raise UserError(f"{shards}: holds {manifest.content}, which are no parts of videos; name shards of clips")
    for entry in manifest.shards:
        with ShardReader(shards / entry.shard) as reader:
            for key, members in reader.index.by_key().items():
                yield Cut.from_record(ClipRecord.from_json(reader.read(members["json"]), key))


def write_cuts(cuts: Iterable[Cut], out: Path) -> None:
    """Write the list in one step: a table (.csv), or a JSON object a line (.jsonl)."""
    text = _as_csv(cuts) if out.suffix.lower() == ".csv" else "".join(map(_as_line, cuts))
    durable_io.replace_file(out, text.encode())


def _as_line(cut: Cut) -> str:
    return json.dumps(stamp(asdict(cut), "cut list"), sort_keys=True, ensure_ascii=False) + "\n"


def _as_csv(cuts: Iterable[Cut]) -> str:
    """Return a table, with a column for each edge of the crop; nothing stands for what is not known."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(CUT_COLUMNS)
    for cut in cuts:
        values = asdict(cut)
        edges = values.pop("crop_px") or (None,) * len(_EDGES)
        row = values | dict(zip(_EDGES, edges, strict=True))
        table.writerow([table_cell(value) if isinstance(value, str) else value for value in map(row.get, CUT_COLUMNS)])
    return file.getvalue()
