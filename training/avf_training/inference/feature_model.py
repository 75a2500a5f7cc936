"""Features of windows of clips by a saved model: region tokens, each modality's mean, what the head reads, per frame.

Shapes: B windows, K regions, C width, N tokens, U tubes (two pictures each), J outputs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from avf_shards.errors import UserError
from avf_shards.timeline import FRAMES_PER_SECOND
from torch import Tensor

from avf_training.data.batch import Batch
from avf_training.data.clip import Clip, decode_clip
from avf_training.data.decode import StoredSound
from avf_training.data.windows import STRIDE, window_frames
from avf_training.evaluation.multi_view import ViewParams, view_input
from avf_training.finetuning.initialization import load_start, start_model
from avf_training.models.classifier import Classifier, weighted_layers
from avf_training.models.encoder import Encoder
from avf_training.models.pretrained import load_folder, saved_config
from avf_training.tasks.labelled_shards import LabelledShards


@dataclass(frozen=True, kw_only=True)
class ClipWindow:
    """Frames [start, stop) of a clip; a window that the clip's end cuts repeats the last picture."""

    start_frame: int
    stop_frame: int


@dataclass(frozen=True, kw_only=True)
class WindowFeatures:
    """Of one window; what the model's modalities or encoder lack is None.

    regions_*: (K, C) of LGI encoders. video, audio: (C,), the layers weighed. fused: what the head reads. frames:
    (U, C), the last layer's local tokens of each pair of pictures. answer: (J,) softmax or dimensions; None of a
    pre-trained model, whose head has learned nothing.
    """

    regions_video: Tensor | None
    regions_audio: Tensor | None
    video: Tensor | None
    audio: Tensor | None
    fused: Tensor
    frames: Tensor | None
    answer: Tensor | None


class FeatureModel:
    """A saved model, pre-trained or fine-tuned, to be asked for features. Raises UserError for a folder without one."""

    def __init__(self, saved: Path, device: str = "cpu") -> None:
        folder = start_model(Path(saved))
        values, _ = load_folder(folder)
        self.device = torch.device(device)
        self.fine_tuned = values["kind"] == "classifier"
        if self.fine_tuned:
            self.model = Classifier.from_pretrained(folder)
        else:
            self.model = Classifier(saved_config(values["model"], folder), 1)
            load_start(self.model, folder)
        self.model.to(self.device).eval()
        self.names = self.model.meaning.names
        self.within = self.model.meaning.within
        self.config = self.model.config

    @property
    def classes(self) -> bool:
        """Whether answers are classes, not dimensions."""
        return self.model.meaning.classes

    def windows(self, frames: int, hop_s: float) -> list[ClipWindow]:
        """Windows of a clip of so many frames, `hop_s` apart, the last at its end."""
        length = self.config.geometry.frames * STRIDE
        hop = max(STRIDE, round(hop_s * FRAMES_PER_SECOND / STRIDE) * STRIDE)
        starts = list(range(0, max(1, frames - length + 1), hop))
        last = max(0, (frames - length) // STRIDE * STRIDE)
        if starts[-1] < last:
            starts.append(last)
        return [ClipWindow(start_frame=start, stop_frame=min(frames, start + length)) for start in starts]

    @torch.no_grad()
    def of(
        self, files: dict[str, bytes], windows: Sequence[ClipWindow], per_frame: bool = False
    ) -> Iterator[WindowFeatures]:
        """Features of windows of one clip's files. Raises FaultError for a clip that cannot be read."""
        geometry = self.config.geometry
        clips = [self._decoded(files, window) for window in windows]
        for at in range(0, len(clips), 8):
            batch = _batch(clips[at : at + 8], geometry.frames * STRIDE).to(self.device)
            video, audio = view_input(batch, geometry, self.config.modalities)
            yield from self._features(video, audio, per_frame)

    def over_time(
        self, record: Mapping[str, Any], files: dict[str, bytes], hop_s: float, per_frame: bool = False
    ) -> Iterator[tuple[float, float, WindowFeatures]]:
        """(start_s, stop_s, features) of each window of a clip, in seconds of its video's file."""
        windows = self.windows(StoredSound(files["flac"]).frames, hop_s)
        first_s = record["span"]["start_frame"] / FRAMES_PER_SECOND + (record.get("start_s") or 0.0)
        for window, found in zip(windows, self.of(files, windows, per_frame), strict=True):
            start_s, stop_s = (first_s + at / FRAMES_PER_SECOND for at in (window.start_frame, window.stop_frame))
            yield start_s, stop_s, found

    def _decoded(self, files: dict[str, bytes], window: ClipWindow) -> Clip[ViewParams]:
        geometry = self.config.geometry

        def draw(total_frames: int) -> ViewParams:
            return ViewParams(
                frames=tuple(window_frames(window.start_frame, geometry.frames, total_frames)),
                start_frame=window.start_frame,
            )

        return decode_clip(files, draw, geometry.frames * STRIDE)

    def _features(self, video_in: Tensor | None, audio_in: Tensor | None, per_frame: bool) -> Iterator[WindowFeatures]:
        model, with_regions = self.model, self.config.encoder != "vit"
        video = audio = frames = None
        if video_in is not None:
            video = model.encoder_video(video_in, None, tuple(range(self.config.video.depth))).layers
            frames = frame_tokens(model.encoder_video, video_in) if per_frame else None
        if audio_in is not None:
            audio = model.encoder_audio(audio_in, None, tuple(range(self.config.audio.depth))).layers
        fused = model.fc_norm(model.feature(video, audio))
        answer = model.answers(model.head(fused)) if self.fine_tuned else None
        pooled_video = None if video is None else weighted_layers(video, model.layer_weights_video).mean(1)
        pooled_audio = None if audio is None else weighted_layers(audio, model.layer_weights_audio).mean(1)
        for b in range(len(fused)):
            yield WindowFeatures(
                regions_video=video[-1][b] if video is not None and with_regions else None,
                regions_audio=audio[-1][b] if audio is not None and with_regions else None,
                video=None if pooled_video is None else pooled_video[b],
                audio=None if pooled_audio is None else pooled_audio[b],
                fused=fused[b],
                frames=None if frames is None else frames[b],
                answer=None if answer is None else answer[b],
            )


def frame_tokens(encoder: Encoder, video_BCTHW: Tensor) -> Tensor:
    """Mean of the last layer's local tokens of each pair of pictures, (B, U, C)."""
    gives, encoder.gives = encoder.gives, "both" if encoder.regions else encoder.gives
    try:
        local_BNC = encoder(video_BCTHW, None, (len(encoder.blocks) - 1,)).layers[-1]
    finally:
        encoder.gives = gives
    tubes, height, width = encoder.geometry.video_grid
    in_time = torch.empty_like(local_BNC)
    in_time[:, encoder.order_N] = local_BNC  # LGI tokens are ordered by region
    in_time_BUSC: Tensor = in_time.unflatten(1, (tubes, height * width))
    return in_time_BUSC.mean(2)


def _batch(clips: Sequence[Clip[ViewParams]], sound_frames: int) -> Batch:
    sound_RS = np.zeros((len(clips), sound_frames * 640), np.int16)
    for row, clip in zip(sound_RS, clips, strict=True):
        row[: len(clip.sound_S)] = clip.sound_S
    return Batch(
        first=0,
        keys=tuple("" for _ in clips),
        sources=tuple("" for _ in clips),
        planes_RTQW=torch.from_numpy(np.stack([clip.planes_TRW for clip in clips])),
        full_range_R=torch.tensor([clip.full_range for clip in clips]),
        sound_RS=torch.from_numpy(sound_RS),
        samples_R=torch.tensor([max(1, len(clip.sound_S)) for clip in clips]),
        faults=(),
    )


def read_clips(shelf: LabelledShards) -> Iterator[tuple[dict[str, Any], dict[str, bytes]]]:
    """Record and files of every clip. Raises UserError where there is none."""
    found = False
    for number, record in shelf.records():
        found = True
        yield record, shelf.read(number)
    if not found:
        raise UserError("no clip in these shards")
