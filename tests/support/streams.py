"""Clip streams of pre-training and fine-tuning, and the contents of their batches in a form that compares."""

from pathlib import Path
from typing import Any

from avf_training.data.augment_config import MixConfig
from avf_training.data.batch import Batch
from avf_training.data.finetuning_sampler import FinetuningBatch, FinetuningSampler
from avf_training.data.loader import StreamLoader
from avf_training.data.ordered_stream import StreamConfig
from avf_training.data.pretraining_sampler import PretrainingBatch, PretrainingSampler
from avf_training.data.stream import ClipStream
from avf_training.models.mask_sampling import paper_masks

from support.models import tiny_config

MODEL = tiny_config()


def pretraining_sampler(any_start_frame: bool = False) -> PretrainingSampler:
    return PretrainingSampler(MODEL, paper_masks(MODEL), any_start_frame)


def finetuning_sampler(**mix: Any) -> FinetuningSampler:
    return FinetuningSampler(geometry=MODEL.geometry, mix=MixConfig(**mix))


def make_stream_loader(
    shards: Path | str, sampler: Any, batch: int, *, world: int = 1, rank: int = 0, workers: int = 0, **settings: Any
) -> StreamLoader[Any]:
    """Return the loader of a rank; `more` holds settings of the stream or of the loader."""
    loader_settings = {
        name: settings.pop(name) for name in ("quarantine", "delivery_log", "log_steps") if name in settings
    }
    return StreamLoader(
        ClipStream(StreamConfig(shards=shards, batch=batch, **settings), sampler, world, rank),
        workers=workers,
        **loader_settings,
    )


def batch_contents(batch: Batch) -> list[tuple[object, ...]]:
    """Return for each clip of a batch its key, source, media bytes and random draws."""
    rows = batch.own_B.tolist() if isinstance(batch, FinetuningBatch) else range(len(batch))
    clips = zip(batch.keys, batch.sources, rows, strict=True)
    return [(key, source, *_row(batch, row), *_more(batch, n)) for n, (key, source, row) in enumerate(clips)]


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
    own_row, partner_row = int(batch.own_B[n]), int(batch.partner_B[n])
    records = (batch.records[own_row].to_json() + batch.records[partner_row].to_json()).decode()
    return batch.params[own_row], records, batch.params[partner_row], *_row(batch, partner_row)


def next_global_batch(loaders: list[StreamLoader[Any]]) -> list[tuple[object, ...]]:
    """Return the contents of the next global batch: the batches of all ranks, in the order of ranks."""
    return [clip for loader in loaders for clip in batch_contents(next(iter(loader)))]
