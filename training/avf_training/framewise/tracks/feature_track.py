"""A track in memory and as a Parquet file, one row a frame.

frame    int64                            number of the frame in its video, from 1, rising
time_s   float64                          when it is shown, in seconds of the video
vector   fixed-size list of float32/16    what the extractor says of it, D values

Everything else stands in the metadata of the file (see `_header`). Parquet, because pandas, Polars, DuckDB, Spark and
Arrow read rows, one column, or the metadata alone without this program, and each page has a checksum, so that a flipped
bit is an error and not another feature. Shapes: N frames, D values.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from avf_shards.schema.versions import encode_parquet
from avf_shards.text import count_noun

from avf_training.framewise.tracks.errors import DamagedTrackError, OtherTrackError
from avf_training.framewise.tracks.identity import ExtractorIdentity, TrackSubject
from avf_training.framewise.tracks.track_file import (
    FRAME_COLUMNS,
    TrackFileKind,
    check_digest,
    check_values,
    describe_invalid_frames,
    open_table,
    read_metadata,
    seal_header,
    write_once,
)

VectorType = Literal["float32", "float16"]
Vectors = npt.NDArray[np.float32] | npt.NDArray[np.float16]
FEATURE_TRACK = TrackFileKind(
    name="feature track",
    noun="track",
    written_by="avf-train extract",
    remedy="remove it and extract it again, or run predict-frames --layer again where that wrote it",
)
PREDICTION_TRACK = TrackFileKind(
    name="feature track",
    noun="track of predictions",
    written_by="avf-train predict-frames",
    remedy="remove it, and write it again with the command that wrote it, predict-frames or ensemble-frames",
)
"""A feature track whose vectors are predictions; who reads it knows that."""
_VALUES = {pa.float32(): np.float32, pa.float16(): np.float16}


@dataclass(frozen=True, kw_only=True)
class FeatureTrack:
    """The vectors of one person of one video by one extractor."""

    subject: TrackSubject  # whose
    extractor: ExtractorIdentity  # by what
    fps: float  # frames a second of the video whose frames are counted
    inputs_sha256: str  # of what was looked at: keys of clips and digests of their files
    frames_N: npt.NDArray[np.int64]  # numbers in the video, from 1, rising
    times_s_N: npt.NDArray[np.float64]  # in seconds of the video
    vectors_ND: Vectors

    @property
    def width(self) -> int:
        """Return the values of a vector."""
        return int(self.vectors_ND.shape[1])


def track_schema(width: int = 768, values: VectorType = "float32") -> pa.Schema:
    """Return the columns of a track with vectors of `width` values."""
    vector = pa.list_(pa.float32() if values == "float32" else pa.float16(), width)
    return pa.schema([*FRAME_COLUMNS, ("vector", vector)])


def encode_track(track: FeatureTrack) -> bytes:
    """Return the bytes of a track's file: the same track, the same bytes.

    Raises ValueError for a track that no reader would take, such as one with nan; the message says what is wrong.
    """
    if fault := _describe_invalid_track(track):
        raise ValueError(fault)
    vectors_ND = np.ascontiguousarray(track.vectors_ND)
    schema = track_schema(track.width, "float16" if vectors_ND.dtype == np.float16 else "float32")
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(vectors_ND.ravel()), track.width)
    columns = [pa.array(track.frames_N), pa.array(track.times_s_N), vectors]
    return encode_parquet(pa.Table.from_arrays(columns, schema=schema.with_metadata(_header(track))))


def write_track(path: Path, track: FeatureTrack) -> None:
    """Write a track once: under a temporary name, then renamed. What killed writers of this track left is removed.

    Raises ValueError as `encode_track`, and OtherTrackError where a file stands at `path` already.
    """
    write_once(path, encode_track(track))


def read_track(
    path: Path,
    *,
    subject: TrackSubject | None = None,
    extractor: ExtractorIdentity | None = None,
    width: int | None = None,
    kind: TrackFileKind = FEATURE_TRACK,
) -> FeatureTrack:
    """Return a track, all of it checked.

    Args:
        path: of the file.
        subject: of whom it must be; None: of anybody.
        extractor: by what it must be; None: by any.
        width: values that its vectors must have; None: any number.
        kind: how errors call it, and what they say to do.

    Raises:
        MissingTrackError: there is no such file.
        DamagedTrackError: it cannot be read, or has frames that do not rise, or values that are nan or infinite.
        OtherTrackError: it is of another subject, extractor or width.
        UserError: it is of a newer version.
    """
    table = _read_table(path, kind)
    track = _parse(path, table, kind)
    if fault := _describe_invalid_track(track):
        raise DamagedTrackError(f"{path}: {fault}", kind.remedy)
    if subject is not None and track.subject != subject:
        raise OtherTrackError(f"{path}: is of {track.subject}, not of {subject}; put it where it belongs")
    if extractor is not None and track.extractor.digest != extractor.digest:
        raise OtherTrackError(f"{path}: {_difference(track.extractor, extractor)}; name another folder, or remove it")
    if width is not None and track.width != width:
        raise OtherTrackError(
            f"{path}: has vectors of {track.width} values, not the {width} of the model or of other tracks"
        )
    return track


def _read_table(path: Path, kind: TrackFileKind) -> pa.Table:
    table = open_table(path, kind)
    check_values(path, kind, table, pa.schema([("vector", pa.null())]), nullable=False)
    vector = table.schema.field("vector").type
    if not pa.types.is_fixed_size_list(vector) or vector.value_type not in _VALUES or not vector.list_size:
        raise DamagedTrackError(f"{path}: not readable as {kind.name} (the column vector holds {vector})", kind.remedy)
    return table


def _parse(path: Path, table: pa.Table, kind: TrackFileKind) -> FeatureTrack:
    metadata = read_metadata(table)
    vector = table.schema.field("vector").type
    values = table["vector"].combine_chunks().flatten()
    if values.null_count:
        raise DamagedTrackError(f"{path}: a vector has a value that is null", kind.remedy)
    try:
        track = FeatureTrack(
            subject=TrackSubject(
                source=metadata["source"], video_id=metadata["video_id"], person=int(metadata["person"])
            ),
            extractor=ExtractorIdentity(
                name=metadata["extractor"],
                settings=metadata["extractor_settings"],
                weights_sha256=metadata["weights_sha256"],
            ),
            fps=float(metadata["fps"]),
            inputs_sha256=metadata["inputs_sha256"],
            frames_N=table["frame"].to_numpy(),
            times_s_N=table["time_s"].to_numpy(),
            vectors_ND=values.to_numpy(zero_copy_only=False).reshape(-1, vector.list_size),
        )
        check_digest(metadata, _header(track))
        json.loads(track.extractor.settings)
    except (KeyError, ValueError) as error:
        raise DamagedTrackError(f"{path}: its metadata are not those of a track ({error})", kind.remedy) from None
    return track


def _header(track: FeatureTrack) -> dict[str, str]:
    """Return the metadata of a track's file."""
    values = {
        "source": track.subject.source,
        "video_id": track.subject.video_id,
        "person": str(track.subject.person),
        "fps": repr(float(track.fps)),
        "extractor": track.extractor.name,
        "extractor_digest": track.extractor.digest,
        "extractor_settings": track.extractor.settings,
        "weights_sha256": track.extractor.weights_sha256,
        "inputs_sha256": track.inputs_sha256,
    }
    return seal_header(FEATURE_TRACK.name, values)


def _describe_invalid_track(track: FeatureTrack) -> str:
    """Return what is wrong with a track; the empty text where nothing is."""
    rows = len(track.frames_N)
    if not rows:
        return "has no frame"
    if track.vectors_ND.ndim != 2 or not rows == len(track.times_s_N) == len(track.vectors_ND):
        counts = f"{count_noun(rows, 'frame')}, {count_noun(len(track.times_s_N), 'time')}"
        shapes = f"{counts}, vectors of shape {track.vectors_ND.shape}"
        return f"has {shapes}; there must be as many of each"
    if fault := describe_invalid_frames(track.frames_N, track.times_s_N, track.fps):
        return fault
    bad_N = ~np.isfinite(track.vectors_ND).all(1)
    if bad_N.any():
        bad = int(bad_N.sum())
        verb = "holds" if bad == 1 else "hold"
        first = track.frames_N[bad_N.argmax()]
        return f"{count_noun(bad, 'vector')} {verb} nan or infinity, the first at frame {first}"
    return ""


def _difference(stored: ExtractorIdentity, asked: ExtractorIdentity) -> str:
    """Return how a track's extractor differs from the one that is asked for."""
    if stored.name != asked.name:
        return f"is of the extractor {stored.name}, not {asked.name}"
    if stored.weights_sha256 != asked.weights_sha256:
        digests = f"SHA-256 {stored.weights_sha256[:12]}, not {asked.weights_sha256[:12]}"
        return f"is of other weights of {stored.name} ({digests})"
    before, now = (json.loads(each.settings) for each in (stored, asked))
    changed = [f"{key}={before.get(key)}, not {now.get(key)}" for key in sorted({*before, *now})
               if before.get(key) != now.get(key)]  # fmt: skip
    return f"is of {stored.name} with {'; '.join(changed)}"
