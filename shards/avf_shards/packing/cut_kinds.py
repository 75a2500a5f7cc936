"""The kinds of a list of cuts, by ending. Without pyarrow, so that the command line starts quickly."""

from avf_shards.system.own_files import OwnFile, text_with

CUT_COLUMNS = (
    "key", "source", "video_id", "path", "start_s", "stop_s", "left_px", "top_px", "right_px", "bottom_px", "window_px",
    "av_offset_ms", "person", "speaker", "language", "input_sha256",
)  # fmt: skip
"""Of a table: the fields of a cut, with a column for each edge of its crop."""
CUT_LISTS: dict[str, OwnFile] = {
    ".csv": text_with("a list of cuts", ",".join(CUT_COLUMNS)),
    ".jsonl": text_with("a list of cuts", '"av_offset_ms": ', '"crop_px": ', '"stop_s": '),
}
"""Endings of the file, which decide its format, and how one of ours is known."""
