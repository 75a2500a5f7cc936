"""Multi-view test: a model's prediction for a clip is its mean over windows (HiCMAE 4.1: two windows, softmax, mean).

The authors' second spatial crop is not computed: their frames are square, so that it equals the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from avf_shards.cli.logging_setup import show_progress
from avf_shards.errors import FaultError
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.text import count_noun
from avf_shards.timeline import FRAMES_PER_SECOND
from torch import Tensor

from avf_training.data.batch import Batch
from avf_training.data.clip import Clip
from avf_training.data.loader import StreamLoader
from avf_training.data.ordered_stream import StreamConfig
from avf_training.data.stream import ClipStream
from avf_training.data.transforms import audio_input, video_input
from avf_training.data.window_length import STRIDE
from avf_training.data.windows import hop_starts, segment_frames, window_frames
from avf_training.distributed.context import DistributedContext
from avf_training.evaluation.file_windows import FileWindows
from avf_training.evaluation.scoring import Predictions, TimedScore
from avf_training.models.classifier import Classifier
from avf_training.models.config import Geometry, Modalities, Precision
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.sampling import ViewOrder
from avf_training.tasks.task import Task

_ViewScores = dict[str, list[list[float]]]  # key -> the scores of each of its views


@dataclass(frozen=True, kw_only=True)
class ViewParams:
    """One window of a clip."""

    frames: tuple[int, ...]  # indices of its frames in the clip
    start_frame: int  # first of them, at which the audio of the window begins


@dataclass(frozen=True, kw_only=True)
class ViewSampler:
    """Sampler of a test stage: successive positions give the windows of each clip, without randomness."""

    geometry: Geometry  # frames of a window
    segments: int  # windows of a clip, spread over it
    starts: tuple[int, ...] = ()  # first frame of the window of each position, in place of `segments`
    reads_record: bool = True  # the stream delivers each clip's record

    def sample(
        self, digest: str, epoch: int, position: int, total_frames: int, record: ClipRecord | None = None
    ) -> ViewParams:
        """Return the window of this position."""
        if self.starts:
            # Positions after the last repeat the last clip, to fill a batch; a substitute may be a shorter clip.
            start = self.starts[min(position, len(self.starts) - 1)]
            start = min(start, max(0, total_frames - self.geometry.frames * STRIDE) // STRIDE * STRIDE)
            return ViewParams(frames=tuple(window_frames(start, self.geometry.frames, total_frames)), start_frame=start)
        windows = segment_frames(self.geometry.frames, total_frames, self.segments)
        frames = windows[position % self.segments]
        return ViewParams(frames=tuple(frames), start_frame=frames[0])

    def partner_positions(self, positions: range) -> tuple[int, ...]:
        """Return no partners: nothing is mixed in a test."""
        return ()

    def make_batch(self, common: Batch, clips: list[Clip[ViewParams]], partners: list[int]) -> Batch:
        """Return the batch unchanged."""
        return common


def view_input(batch: Batch, geometry: Geometry, modalities: Modalities) -> tuple[Tensor | None, Tensor | None]:
    """Return a model's video and audio input: whole frames at the model's size, audio at its stored loudness."""
    size_px = batch.planes_RTQW.shape[-1]
    rows = len(batch.planes_RTQW)
    video = audio = None
    if "v" in modalities:
        full_frame_R4 = torch.tensor([[0, 0, size_px, size_px]] * rows)
        video = video_input(batch.planes_RTQW, batch.full_range_R, full_frame_R4, geometry)
    if "a" in modalities:
        audio = audio_input(batch.waveform_RS, batch.samples_R, torch.ones(rows), geometry)
    return video, audio


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """Settings that read clips for a test."""

    geometry: Geometry  # frames, size and spectrogram of the model's input
    modalities: Modalities  # inputs of the model
    precision: Precision  # number types of the forward pass
    segments: int  # windows of a clip
    hop_s: float | None = None  # from one window to the next, in place of `segments`
    batch: int = 32  # windows in one forward pass
    workers: int = 0  # processes that decode; 0: this one


def view_loader(
    shards: LabelledShards, clips: Sequence[int], config: ViewConfig, device: torch.device
) -> StreamLoader[Batch]:
    """Return batches of all views of the clips with these indices, in order."""
    starts = _view_starts(shards, clips, config)
    views = config.segments if starts is None else [len(each) for each in starts]
    order = ViewOrder(shards.corpus, clips, views, config.batch)
    stream_config = StreamConfig(shards=".", batch=config.batch, epochs=1, scored=True)
    flat = tuple(start for each in starts or () for start in each)
    sampler = ViewSampler(geometry=config.geometry, segments=config.segments, starts=flat)
    stream = ClipStream(stream_config, sampler, order_and_reader=(order, shards))
    return StreamLoader(stream, workers=config.workers, device=device)


def _view_starts(shards: LabelledShards, clips: Sequence[int], config: ViewConfig) -> list[list[int]] | None:
    """Return the first frames of the windows of each clip; None where they are `segments` windows, spread over it."""
    if config.hop_s is None:
        return None
    frames_of = {clip.index: clip.frames for clip in shards.clips()}
    return [hop_starts(config.geometry.frames, frames_of[clip], config.hop_s) for clip in clips]


def predict_clips(
    model: Classifier, task: Task, keys: Sequence[str], config: ViewConfig, context: DistributedContext
) -> Predictions:
    """Return predictions for clips of a task on every rank (collective: each rank computes a share of the clips).

    The model returns to the mode (training or evaluation) that it was in. Raises FaultError where no clip can be read.
    """
    views, unreadable = _predict_views(model, task, keys, config, context)
    readable = [key for key in sorted(views) if key not in unreadable]
    if keys and not readable:
        raise FaultError(f"{task.name}: none of its {count_noun(len(keys), 'clip')} to score can be read")
    return Predictions(
        keys=tuple(readable),
        truth=np.array([task.truth[key] for key in readable], float),
        scores_NJ=np.array([np.mean(views[key], 0) for key in readable]),
        unreadable=tuple(unreadable),
    )


def predict_hops(
    model: Classifier, task: Task, keys: Sequence[str], config: ViewConfig, context: DistributedContext
) -> FileWindows:
    """Return the probability of a fake of each window of clips of a task, `config.hop_s` apart. Collective."""
    views, unreadable = _predict_views(model, task, keys, config, context)
    readable = [key for key in sorted(views) if key not in unreadable]
    starts = _view_starts(task.shards, [task.index_of[key] for key in readable], config)
    assert starts is not None, "windows of detection are hops"
    windows = {
        key: tuple(
            TimedScore(start_s=start / FRAMES_PER_SECOND, score=scores[1])
            for start, scores in zip(first, views[key], strict=True)
        )
        for key, first in zip(readable, starts, strict=True)
    }
    return FileWindows(task=task, windows=windows, unreadable=tuple(unreadable))


@torch.no_grad()
def _predict_views(
    model: Classifier, task: Task, keys: Sequence[str], config: ViewConfig, context: DistributedContext
) -> tuple[_ViewScores, list[str]]:
    """Return the scores of each window by key, and the sorted keys of the clips that cannot be read. Collective."""
    training = model.training
    model.eval()
    share = sorted(keys)[context.rank :: context.size]
    results = [_predict_share(model, task, share, config, context.device, show=context.rank == 0)]
    model.train(training)
    if context.size > 1:
        gathered: list[tuple[_ViewScores, set[str]] | None] = [None] * context.size
        dist.all_gather_object(gathered, results[0])
        results = [result for result in gathered if result is not None]
    views = {key: scores for result, _ in results for key, scores in result.items()}
    return views, sorted(key for _, keys_of_rank in results for key in keys_of_rank)


def _predict_share(
    model: Classifier, task: Task, keys: Sequence[str], config: ViewConfig, device: torch.device, *, show: bool
) -> tuple[_ViewScores, set[str]]:
    """Return the scores of each view by key, and the keys of the clips that could not be read.

    show: show in a terminal how many clips are done.
    """
    views: _ViewScores = {}
    unreadable: set[str] = set()
    if not keys:
        return views, unreadable
    clips = [task.index_of[key] for key in keys]
    starts = _view_starts(task.shards, clips, config)
    counts = [config.segments] * len(keys) if starts is None else [len(each) for each in starts]
    key_of_position = [key for key, count in zip(keys, counts, strict=True) for _ in range(count)]
    for batch in view_loader(task.shards, clips, config, device):
        if show:
            show_progress(f"{task.name}: scoring clip {len(views) + 1} of {len(keys)}")
        faulty = {fault.position for fault in batch.faults}
        video, audio = view_input(batch, config.geometry, config.modalities)
        with config.precision.autocast(device.type):
            logits_BJ = model(video, audio).logits_BJ
        for row, scores in enumerate(model.predictions(logits_BJ).cpu().double().tolist()):
            position = batch.first_position + row
            if position >= len(key_of_position):
                continue  # the last clip is repeated to fill the batch
            key = key_of_position[position]
            if position in faulty:
                unreadable.add(key)
            views.setdefault(key, []).append(scores)
    if show:
        show_progress("")
    return views, unreadable
