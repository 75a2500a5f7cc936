"""Streams of both stages over flashing shards, and what is in their batches."""

from pathlib import Path
from typing import Any

from avf_training.data.batch import Batch
from avf_training.data.finetuning import FinetuningBatch, FinetuningSampler
from avf_training.data.loader import StreamLoader
from avf_training.data.mixing import MixConfig
from avf_training.data.pretraining import PretrainingBatch, PretrainingSampler
from avf_training.data.stream import ClipStream, StreamConfig
from avf_training.models.masking import paper_masks

from support.models import tiny

MODEL = tiny()


def pretraining(any_start_frame: bool = False) -> PretrainingSampler:
    return PretrainingSampler(MODEL, paper_masks(MODEL), any_start_frame)


def finetuning(**mix: Any) -> FinetuningSampler:
    return FinetuningSampler(geometry=MODEL.geometry, mix=MixConfig(**mix))


def loader(
    shards: Path | str, sampler: Any, batch: int, *, world: int = 1, rank: int = 0, workers: int = 0, **more: Any
) -> StreamLoader[Any, Any]:
    """A rank's loader; `more` goes to the stream's config, or to the loader."""
    mine = {name: more.pop(name) for name in ("quarantine", "delivery_log", "log_steps") if name in more}
    return StreamLoader(
        ClipStream(StreamConfig(shards=shards, batch=batch, **more), sampler, world, rank), workers=workers, **mine
    )


def contents(batch: Batch) -> list[tuple[object, ...]]:
    """Everything about each clip of a batch, as bytes."""
    rows = batch.own_B.tolist() if isinstance(batch, FinetuningBatch) else range(len(batch))
    named = zip(batch.keys, batch.sources, rows, strict=True)
    return [(key, source, *_row(batch, row), *_more(batch, n)) for n, (key, source, row) in enumerate(named)]


def _row(batch: Batch, row: int) -> tuple[object, ...]:
    return (
        batch.planes_RTQW[row].numpy().tobytes(),
        bool(batch.full_range_R[row]),
        batch.waveform_RS[row].numpy().tobytes(),
        int(batch.samples_R[row]),
    )


def _more(batch: Batch, n: int) -> tuple[object, ...]:
    if isinstance(batch, PretrainingBatch):
        params = batch.params[n]
        return (
            params.frames,
            params.start_frame,
            params.crop,
            params.gain,
            *(part[n].numpy().tobytes() for part in batch.masks),
        )
    assert isinstance(batch, FinetuningBatch)
    own, partner = int(batch.own_B[n]), int(batch.partner_B[n])
    records = (batch.records[own].to_json() + batch.records[partner].to_json()).decode()
    return batch.params[own], records, batch.params[partner], *_row(batch, partner)


def world_step(loaders: list[StreamLoader[Any, Any]]) -> list[tuple[object, ...]]:
    """One global batch: what all ranks get, in the order of ranks."""
    return [clip for one in loaders for clip in contents(next(iter(one)))]
