"""How the files of `avf-train predict`, `embed` and `reconstruct` are known, so that no other file is replaced."""

import re
from pathlib import Path

from avf_shards.system.own_files import FIGURE, OwnFile, json_rows, text_with

VTT_NOTE = "NOTE The label of a time is the class with the highest mean probability of the windows that cover it."
AUTHOR = "avf-train predict"  # of documents of ELAN
_TIMES = re.compile(r"\d+:\d\d:\d\d,\d{3} --> \d+:\d\d:\d\d,\d{3}")
_SCORES = re.compile(r"[^\n]*[^\n ] -?\d+\.\d\d")  # a cue ends in a label or a dimension and its score


def _is_subrip(path: Path) -> bool:
    """Return whether every cue is a line of times and a line that ends in a score: spoken words do not."""
    try:
        blocks = path.read_text("utf-8").strip("\n").split("\n\n")
    except UnicodeDecodeError:
        return False
    cues = [block.split("\n") for block in blocks]
    return all(len(cue) == 3 and _TIMES.fullmatch(cue[1]) and _SCORES.fullmatch(cue[2]) for cue in cues)


def _is_elan(path: Path) -> bool:
    """Return whether a document is as it was written: ELAN gives each that a person saves a URN."""
    text = path.read_bytes()
    return f'AUTHOR="{AUTHOR}"'.encode() in text and b'"URN"' not in text


def _is_features(path: Path) -> bool:
    # Here, because the command line reads this module whatever the command is.
    import pyarrow as pa
    import pyarrow.parquet as pq
    from avf_shards.schema.versions import SCHEMA_VERSION

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError, ValueError):
        return False
    return SCHEMA_VERSION.encode() in (schema.metadata or {}) and {"key", "person", "start_s"} <= set(schema.names)


FIGURES = dict.fromkeys((".png", ".jpg", ".pdf", ".svg"), FIGURE)
"""Figures by ending."""
TABLES = {
    ".csv": text_with("a table of predictions", "source,video,person,start_s,stop_s"),
    ".json": json_rows("predictions of avf-train", ("source", "video_id", "windows")),
    ".srt": OwnFile(noun="subtitles of predictions", knows=_is_subrip),
    ".vtt": text_with("subtitles of predictions", VTT_NOTE),
    ".eaf": OwnFile(noun="an ELAN document as avf-train wrote it", knows=_is_elan),
}
"""Numbers and subtitles by ending."""
FEATURES = {".parquet": OwnFile(noun="a table of features", knows=_is_features)}
"""Features by ending."""
