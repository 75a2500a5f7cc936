"""Checks of a batch before anything is computed; every error names the field, the value and what would fit."""

import torch
from avf_shards.text import count_noun
from torch import Tensor

from avf_training.models.config import ModelConfig

IMAGE_MEAN, IMAGE_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in [0, 1]
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_inputs(config: ModelConfig, video: Tensor | None, audio: Tensor | None) -> None:
    """Raise ValueError unless each modality of the model is given in the shape and type that the model takes."""
    for name, clips, shape, axes in (
        ("video", video, config.geometry.video_shape, "(batch, channels, frames, height, width)"),
        ("audio", audio, config.geometry.audio_shape, "(batch, 1, mel frames, mels)"),
    ):
        required = name[0] in config.modalities
        if required and clips is None:
            other = {"video": "'a'", "audio": "'v'"}[name]
            raise ValueError(
                f"{name}: missing; model {config.name} takes {config.modalities!r} (modalities {other} is without)"
            )
        if not required and clips is not None:
            raise ValueError(f"{name}: given, but the model's modalities are {config.modalities!r}")
        if clips is None:
            continue
        if tuple(clips.shape[1:]) != shape:
            fits = ("batch", *shape)
            raise ValueError(f"{name}: shape {tuple(clips.shape)} does not fit; {axes} must be {fits}")
        if clips.dtype not in _FLOATS:
            raise ValueError(f"{name}: dtype {clips.dtype} does not fit; it must be a float type, normalised")
    if video is not None and audio is not None and video.shape[0] != audio.shape[0]:
        raise ValueError(
            f"audio: {count_noun(len(audio), 'clip')} beside {len(video)} of video; both need the same batch"
        )
