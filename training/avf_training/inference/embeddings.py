"""Features of clips as Parquet, one row for each window.

key, source, video_id, person, start_s, stop_s   the window (seconds of the video)
video, audio, fused                              list<float32>: mean of each modality, input of the head
regions_video, regions_audio                     list<list<float32>>: region tokens, K x C
layers_video, layers_audio                       list<list<float32>>: mean of each layer of an encoder, L x C
frames                                           list<list<float32>>: one for each pair of the 16 frames
"""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from avf_shards.schema.versions import SCHEMA_VERSION, VERSIONS
from avf_shards.system import durable_io
from torch import Tensor

from avf_training.data.storage import StorageConfig
from avf_training.data.window_length import WINDOW_S, check_hop
from avf_training.inference.clip_input import open_clips
from avf_training.inference.feature_kinds import KINDS, check_kinds
from avf_training.inference.feature_model import FeatureModel, OnClip, ignore_clip, read_clips
from avf_training.inference.people import number_people
from avf_training.inference.video_clock import VideoClock
from avf_training.tasks.labelled_shards import LabelledShards

_VECTOR, _MATRIX = pa.list_(pa.float32()), pa.list_(pa.list_(pa.float32()))
_SCHEMA = {
    "key": pa.string(), "source": pa.string(), "video_id": pa.string(), "person": pa.int32(),
    "start_s": pa.float64(), "stop_s": pa.float64(),
}  # fmt: skip


def embed_clips(
    path: Path | str,
    model: Path | str,
    kinds: Sequence[str] = KINDS,
    hop_s: float = WINDOW_S,
    device: str = "cpu",
) -> pa.Table:
    """Return a table of the features of every window of every clip, by a pre-trained or fine-tuned model.

    A feature that the model does not have (of a modality, of regions) is null. Raises UserError for an unknown kind.

    Args:
        path: a video, a folder of videos, the output of `avf-curate clip`, or shards.
        model: a saved model or a run.
        kinds: names of KINDS or LAYER_KINDS.
        hop_s: seconds between the starts of two windows; the default lays windows side by side.
    """
    check_kinds(kinds)
    check_hop(hop_s)
    feature_model = FeatureModel(Path(model), device)
    with open_clips(path) as shards:
        return embed_shards(shards, feature_model, kinds, hop_s, videos=path)


def embed_shards(
    shards: str,
    feature_model: FeatureModel,
    kinds: Sequence[str],
    hop_s: float,
    on_clip: OnClip = ignore_clip,
    *,
    videos: Path | str | None = None,
) -> pa.Table:
    """Return the table of `embed_clips` for the clips of a folder of shards.

    Args:
        videos: the input that the clips are of, whose files tell when their first picture is shown; None: at 0.
        on_clip: called before each clip with its video, its number from 1, and the number of clips.
    """
    rows = list(_rows(shards, feature_model, kinds, hop_s, on_clip, clock=VideoClock(videos)))
    return pa.Table.from_pylist(rows, features_schema(kinds))


def features_schema(kinds: Sequence[str] = KINDS) -> pa.Schema:
    """Return the columns of a table with these features."""
    types = {kind: _VECTOR if kind in ("video", "audio", "fused") else _MATRIX for kind in kinds}
    return pa.schema(_SCHEMA | types)


def write_features(table: pa.Table, out: Path, model: Path | str) -> None:
    """Write the table as a Parquet file with the name of the model in its metadata."""
    data = io.BytesIO()
    metadata = {"model": str(Path(model).name), SCHEMA_VERSION: str(VERSIONS["features"])}
    pq.write_table(table.replace_schema_metadata(metadata), data, compression="zstd")
    durable_io.replace_file(out, data.getvalue())


def _rows(
    shards: str, model: FeatureModel, kinds: Sequence[str], hop_s: float, on_clip: OnClip, *, clock: VideoClock
) -> Iterator[dict[str, Any]]:
    clips = LabelledShards([shards], StorageConfig())
    person_of = number_people(clips)
    for number, (record, files) in enumerate(read_clips(clips), 1):
        on_clip(record.video_id, number, len(clips))
        clip_start_s = clock.clip_start_s(record)
        for start_s, stop_s, features in model.features_over_time(clip_start_s, files, hop_s, "frames" in kinds):
            clip = {"key": record.key, "source": record.source, "video_id": record.video_id}
            window = {"person": person_of[record.key], "start_s": start_s, "stop_s": stop_s}
            yield clip | window | {kind: _as_list(getattr(features, kind)) for kind in kinds}


def _as_list(value: Tensor | None) -> list[Any] | None:
    return None if value is None else value.float().cpu().tolist()
