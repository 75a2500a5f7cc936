"""Batches and shards that are made up on the spot."""

from pathlib import Path

import numpy as np
import torch
from avf_curation.media.encode import encode_flac, encode_mp4
from avf_curation.recipe import load_recipe
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from avf_training.config.pretrain import PretrainRecipe
from avf_training.data.pretraining_sampler import PretrainingBatch, PretrainingSampler
from avf_training.data.window_length import STRIDE
from avf_training.models.masks import Masks

from benchmarks.talkers import FRAMES, write_shards

_DIFFERENT = 64  # clips with parameters of their own in a random batch; more would take longer to sample than to train


def random_batch(recipe: PretrainRecipe, clips: int, stored_px: int, device: str) -> PretrainingBatch:
    """Return a batch of random pixels and noise on the device, with the crops, gains and masks of the recipe."""
    config = recipe.model_config()
    sampler = PretrainingSampler(config, recipe.masks)
    sampled = [sampler.sample("gpu", 0, position, FRAMES) for position in range(min(clips, _DIFFERENT))]
    params = tuple(sampled[row % len(sampled)] for row in range(clips))
    frames = config.geometry.frames
    generator = torch.Generator(device).manual_seed(0)
    planes = torch.randint(
        16, 236, (clips, frames, stored_px * 3 // 2, stored_px), dtype=torch.uint8, device=device, generator=generator
    )
    samples = frames * STRIDE * SAMPLES_PER_FRAME
    waveform = torch.randint(-8000, 8000, (clips, samples), dtype=torch.int16, device=device, generator=generator)
    return PretrainingBatch(
        first_position=0,
        keys=tuple(f"clip {row}" for row in range(clips)),
        sources=("random",) * clips,
        planes_RTQW=planes,
        full_range_R=torch.zeros(clips, dtype=torch.bool, device=device),
        waveform_RS=waveform,
        samples_R=torch.full((clips,), samples, device=device),
        faults=(),
        params=params,
        masks=Masks.stack([clip.masks for clip in params], device),
    )


def nano_shards(folder: Path, clips: int) -> Path:
    """Write shards of small clips: a bright square that moves, and a tone whose pitch belongs to it."""
    return write_shards(folder, [_nano_clip(number) for number in range(clips)])


def _nano_clip(number: int, size_px: int = 64) -> dict[str, bytes]:
    config = load_recipe(None, [f"clip.size_px={size_px}"]).defaults.clip
    frames = np.full((FRAMES, size_px, size_px, 3), 40 + 7 * (number % 12), np.uint8)
    for index, frame in enumerate(frames):
        top, left = (5 * number + index) % 40, (11 * number + 2 * index) % 40
        frame[top : top + 24, left : left + 24] = 90 + 13 * (number % 11)
    seconds = np.arange(FRAMES * SAMPLES_PER_FRAME) / SAMPLE_RATE_HZ
    tone = 9000 * np.sin(2 * np.pi * (200 + 60 * number) * seconds)
    loudness = 0.5 + 0.5 * np.sin(2 * np.pi * seconds * FRAMES_PER_SECOND / 20)
    return {"mp4": encode_mp4(frames, config), "flac": encode_flac((tone * loudness).astype(np.int16))}
