"""Batches and shards that are made up on the spot."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from avf_curation.media.encode import encode_flac, encode_mp4
from avf_curation.recipe import load_recipe
from avf_shards.schema.clip_key import make_clip_key
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Span
from avf_training.config.pretrain import PretrainRecipe
from avf_training.data.finetuning_sampler import FinetuningBatch, FinetuningSampler
from avf_training.data.mixing import partner_position
from avf_training.data.pretraining_sampler import PretrainingBatch, PretrainingSampler
from avf_training.data.window_length import STRIDE
from avf_training.models.masks import Masks
from avf_training.tasks.catalog import Dataset
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.task import Task
from support.records import make_clip_record

from benchmarks.talkers import FRAMES, write_shards

_LABELS = tuple(f"emotion {number}" for number in range(7))

_DIFFERENT = 64  # clips with parameters of their own in a random batch; more would take longer to sample than to train


def random_batch(recipe: PretrainRecipe, clips: int, stored_px: int, device: str) -> PretrainingBatch:
    """Return a batch of random pixels and noise on the device, with the crops, gains and masks of the recipe."""
    config = recipe.model_config()
    sampler = PretrainingSampler(config, recipe.masks)
    sampled = [sampler.sample("gpu", 0, position, FRAMES) for position in range(min(clips, _DIFFERENT))]
    params = tuple(sampled[row % len(sampled)] for row in range(clips))
    return PretrainingBatch(
        **_random_media(clips, config.geometry.frames, stored_px, device),
        params=params,
        masks=Masks.stack([clip.masks for clip in params], device),
    )


def random_labelled_batch(
    sampler: FinetuningSampler, keys: Sequence[str], stored_px: int, device: str
) -> FinetuningBatch:
    """Return a batch of random pixels and noise with these keys, and the augmentation and mixing of the sampler."""
    clips = len(keys)
    media = _random_media(clips, sampler.geometry.frames, stored_px, device) | {"keys": tuple(keys)}
    partners = [partner_position(row) for row in range(clips)]
    return FinetuningBatch(
        **media,
        params=tuple(sampler.sample("gpu", 0, position, FRAMES) for position in range(clips)),
        records=tuple(make_clip_record(key) for key in keys),
        own_B=torch.arange(clips, device=device),
        partner_B=torch.tensor(partners, device=device),
    )


def _random_media(clips: int, frames: int, stored_px: int, device: str) -> dict[str, Any]:
    """Return what all batches have in common, with random pixels and noise on the device."""
    generator = torch.Generator(device).manual_seed(0)
    planes = torch.randint(
        16, 236, (clips, frames, stored_px * 3 // 2, stored_px), dtype=torch.uint8, device=device, generator=generator
    )
    samples = frames * STRIDE * SAMPLES_PER_FRAME
    waveform = torch.randint(-8000, 8000, (clips, samples), dtype=torch.int16, device=device, generator=generator)
    return {
        "first_position": 0,
        "keys": tuple(f"clip {row}" for row in range(clips)),
        "sources": ("random",) * clips,
        "planes_RTQW": planes,
        "full_range_R": torch.zeros(clips, dtype=torch.bool, device=device),
        "waveform_RS": waveform,
        "samples_R": torch.full((clips,), samples, device=device),
        "faults": (),
    }


def clip_keys(clips: int) -> list[str]:
    """Return the keys of so many made-up clips."""
    return [make_clip_key("made", str(number), Span(0, FRAMES), 0) for number in range(clips)]


def labelled_task(keys: Sequence[str], test: int, shards: LabelledShards | None = None) -> Task:
    """Return a task of these clips with labels in turn, the last `test` of which are tested.

    shards: where the clips are read from, in the order of their keys; None: they are not read.
    """
    data = Dataset(name="made", labels=_LABELS)
    split = len(keys) - test
    return Task(
        name="made/fold_1",
        data=data,
        shards=cast(LabelledShards, shards),
        index_of={key: index for index, key in enumerate(keys)},
        truth={key: index % len(_LABELS) for index, key in enumerate(keys)},
        train=tuple(keys[:split]),
        validation=(),
        test=tuple(keys[split:]),
    )


def nano_shards(folder: Path, clips: int) -> Path:
    """Write shards of small clips."""
    return write_shards(folder, [nano_clip(number) for number in range(clips)])


def nano_clip(number: int, size_px: int = 64) -> dict[str, bytes]:
    """Return the files of a small clip: a bright square that moves, and a tone whose pitch belongs to it."""
    config = load_recipe(None, [f"clip.size_px={size_px}"]).defaults.clip
    frames = np.full((FRAMES, size_px, size_px, 3), 40 + 7 * (number % 12), np.uint8)
    for index, frame in enumerate(frames):
        top, left = (5 * number + index) % 40, (11 * number + 2 * index) % 40
        frame[top : top + 24, left : left + 24] = 90 + 13 * (number % 11)
    seconds = np.arange(FRAMES * SAMPLES_PER_FRAME) / SAMPLE_RATE_HZ
    tone = 9000 * np.sin(2 * np.pi * (200 + 60 * number) * seconds)
    loudness = 0.5 + 0.5 * np.sin(2 * np.pi * seconds * FRAMES_PER_SECOND / 20)
    return {"mp4": encode_mp4(frames, config), "flac": encode_flac((tone * loudness).astype(np.int16))}
