"""Features of windows of clips by a saved model: region tokens, means, input of the head, per-frame features.

Shapes: B windows, K regions, C width, L layers, N tokens, U tubes (two frames each), J outputs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from avf_shards.errors import UserError
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLES_PER_FRAME
from torch import Tensor

from avf_training.data.batch import Batch
from avf_training.data.clip import Clip, decode_clip
from avf_training.data.decode import StoredAudio
from avf_training.data.window_length import STRIDE
from avf_training.data.windows import hop_starts, window_frames
from avf_training.distributed.device_choice import resolve_device
from avf_training.evaluation.multi_view import ViewParams, view_input
from avf_training.finetuning.initialization import load_start
from avf_training.inference.encoder_tokens import local_tokens
from avf_training.models.classifier import Classifier, weighted_layers
from avf_training.models.encoder import Encoder
from avf_training.models.pretrained import load_model_folder, parse_saved_config
from avf_training.models.saved_config import refuse_image_model
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.trainer.saved_model import start_model

OnClip = Callable[[str, int, int], None]
"""Function that is told the video of a clip, the clip's number from 1, and the number of clips."""
_BATCH_WINDOWS = 8  # of one forward pass; keeps the memory of long clips small


@dataclass(frozen=True, kw_only=True)
class ClipWindow:
    """A window of a clip. Where the clip ends before the window, its last frame is repeated."""

    start_frame: int  # first frame, counted from the clip's start
    stop_frame: int  # after the last frame


@dataclass(frozen=True, kw_only=True)
class WindowFeatures:
    """Features of one window; None where the model lacks the modality or the encoder has no regions."""

    regions_video: Tensor | None  # (K, C), last layer of an LGI encoder
    regions_audio: Tensor | None  # (K, C)
    video: Tensor | None  # (C,), mean of the weighted layers
    audio: Tensor | None  # (C,)
    layers_video: Tensor | None  # (L, C), mean over the tokens of each layer after the encoder's norm, lowest first
    layers_audio: Tensor | None  # (L, C)
    fused: Tensor  # input of the head
    frames: Tensor | None  # (U, C), mean local token of each pair of frames, last layer
    scores: Tensor | None  # (J,) probabilities or dimensions; None for a pre-trained model, whose head is random


class FeatureModel:
    """Feature extractor around a saved model, pre-trained or fine-tuned. Raises UserError for a folder without one."""

    def __init__(self, saved: Path, device: str = "cpu") -> None:
        folder = start_model(Path(saved))
        values, _ = load_model_folder(folder)
        refuse_image_model(values, saved)
        self.device = torch.device(resolve_device(device))
        self.fine_tuned = values["kind"] == "classifier"
        if self.fine_tuned:
            self.model = Classifier.from_pretrained(folder)
        else:
            self.model = Classifier(parse_saved_config(values["model"], folder), 1)
            load_start(self.model, folder)
        self.model.to(self.device).eval()
        self.names = self.model.output_spec.names
        self.config = self.model.config

    @property
    def is_classifier(self) -> bool:
        """Return whether the outputs are classes, not dimensions."""
        return self.model.output_spec.is_classification

    def windows(self, frames: int, hop_s: float) -> list[ClipWindow]:
        """Return windows that cover a clip of `frames` frames: `hop_s` apart, the last one at its end."""
        model_frames = self.config.geometry.frames
        starts, length = hop_starts(model_frames, frames, hop_s), model_frames * STRIDE
        return [ClipWindow(start_frame=start, stop_frame=min(frames, start + length)) for start in starts]

    @torch.no_grad()
    def features(
        self, files: dict[str, bytes], windows: Sequence[ClipWindow], per_frame: bool = False
    ) -> Iterator[WindowFeatures]:
        """Yield the features of windows of one clip. Raises FaultError for a clip that cannot be read."""
        geometry = self.config.geometry
        clips = [self._decode(files, window) for window in windows]
        for first in range(0, len(clips), _BATCH_WINDOWS):
            batch = _batch(clips[first : first + _BATCH_WINDOWS], geometry.frames * STRIDE).to(self.device)
            video, audio = view_input(batch, geometry, self.config.modalities)
            yield from self._batch_features(video, audio, per_frame)

    def features_over_time(
        self, clip_start_s: float, files: dict[str, bytes], hop_s: float, per_frame: bool = False
    ) -> Iterator[tuple[float, float, WindowFeatures]]:
        """Yield (start_s, stop_s, features) of each window of a clip whose first frame is at `clip_start_s`."""
        windows = self.windows(StoredAudio(files["flac"]).frames, hop_s)
        for window, features in zip(windows, self.features(files, windows, per_frame), strict=True):
            start_s = clip_start_s + window.start_frame / FRAMES_PER_SECOND
            yield start_s, clip_start_s + window.stop_frame / FRAMES_PER_SECOND, features

    def _decode(self, files: dict[str, bytes], window: ClipWindow) -> Clip[ViewParams]:
        geometry = self.config.geometry

        def sample(total_frames: int, record: ClipRecord | None) -> ViewParams:
            return ViewParams(
                frames=tuple(window_frames(window.start_frame, geometry.frames, total_frames)),
                start_frame=window.start_frame,
            )

        return decode_clip(files, sample, geometry.frames * STRIDE)

    def _batch_features(
        self, video_in: Tensor | None, audio_in: Tensor | None, per_frame: bool
    ) -> Iterator[WindowFeatures]:
        # A detector's head reads local tokens, and then layers are of those.
        model = self.model
        with_regions = self.config.encoder != "vit" and model.head_kind == "linear"
        video = audio = frames = None
        if video_in is not None:
            video = model.encoder_video(video_in, None, tuple(range(self.config.video.depth))).layers
            frames = frame_tokens(model.encoder_video, video_in) if per_frame else None
        if audio_in is not None:
            audio = model.encoder_audio(audio_in, None, tuple(range(self.config.audio.depth))).layers
        fused = model.fc_norm(model.feature(video, audio))
        scores = model.predictions(model.head(fused)) if self.fine_tuned else None
        pooled_video = None if video is None else weighted_layers(video, model.layer_weights_video).mean(1)
        pooled_audio = None if audio is None else weighted_layers(audio, model.layer_weights_audio).mean(1)
        for b in range(len(fused)):
            yield WindowFeatures(
                regions_video=video[-1][b] if video is not None and with_regions else None,
                regions_audio=audio[-1][b] if audio is not None and with_regions else None,
                video=None if pooled_video is None else pooled_video[b],
                audio=None if pooled_audio is None else pooled_audio[b],
                layers_video=None if video is None else torch.stack([layer[b].mean(0) for layer in video]),
                layers_audio=None if audio is None else torch.stack([layer[b].mean(0) for layer in audio]),
                fused=fused[b],
                frames=None if frames is None else frames[b],
                scores=None if scores is None else scores[b],
            )


def frame_tokens(encoder: Encoder, video_BCTHW: Tensor) -> Tensor:
    """Return the mean of the last layer's local tokens of each pair of frames, (B, U, C)."""
    (local_BNC,) = local_tokens(encoder, video_BCTHW, (len(encoder.blocks) - 1,))
    tubes, height, width = encoder.geometry.video_grid
    tube_tokens_BUSC: Tensor = local_BNC.unflatten(1, (tubes, height * width))
    return tube_tokens_BUSC.mean(2)


def _batch(clips: Sequence[Clip[ViewParams]], sound_frames: int) -> Batch:
    waveform_RS = np.zeros((len(clips), sound_frames * SAMPLES_PER_FRAME), np.int16)
    for row, clip in zip(waveform_RS, clips, strict=True):
        row[: len(clip.waveform_S)] = clip.waveform_S
    return Batch(
        first_position=0,
        keys=tuple("" for _ in clips),
        sources=tuple("" for _ in clips),
        planes_RTQW=torch.from_numpy(np.stack([clip.planes_TQW for clip in clips])),
        full_range_R=torch.tensor([clip.full_range for clip in clips]),
        waveform_RS=torch.from_numpy(waveform_RS),
        samples_R=torch.tensor([max(1, len(clip.waveform_S)) for clip in clips]),
        faults=(),
    )


def read_clips(shards: LabelledShards) -> Iterator[tuple[ClipRecord, dict[str, bytes]]]:
    """Yield record and files of every clip. Raises UserError where there is none."""
    empty = True
    for index, record in shards.records():
        empty = False
        yield record, shards.read(index)
    if empty:
        raise UserError(f"{', '.join(map(str, shards.shards))}: no clip in these shards")


def ignore_clip(video_id: str, number: int, clips: int) -> None:
    """Do nothing: the `on_clip` of callers that show no progress."""
