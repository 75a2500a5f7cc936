"""A model's answers to clips: the view protocol, the same each time (HiCMAE 4.1: two windows, softmax, mean).

The authors' second crop is the same picture again, as their frames are square: it is not computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from avf_training.data.batch import Batch
from avf_training.data.clip import Clip
from avf_training.data.loader import StreamLoader
from avf_training.data.stream import ClipStream, StreamConfig
from avf_training.data.transforms import audio_input, video_input
from avf_training.data.windows import segment_frames
from avf_training.distributed.context import DistributedContext
from avf_training.evaluation.scoring import Predictions
from avf_training.models.classifier import Classifier
from avf_training.models.config import Geometry, Modalities
from avf_training.models.precision import Precision
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.sampling import ViewOrder
from avf_training.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class ViewParams:
    """One window of a clip."""

    frames: tuple[int, ...]
    start_frame: int


@dataclass(frozen=True, kw_only=True)
class ViewSampler:
    """Each clip gives `segments` windows, one after the other: nothing is drawn."""

    geometry: Geometry
    segments: int
    reads_record: bool = True

    def draw(self, digest: str, epoch: int, position: int, total_frames: int) -> ViewParams:
        """The window that this position is."""
        windows = segment_frames(self.geometry.frames, total_frames, self.segments)
        frames = windows[position % self.segments]
        return ViewParams(frames=tuple(frames), start_frame=frames[0])

    def partners(self, positions: range, first: int, batch: int) -> tuple[int, ...]:
        """Nothing is mixed."""
        return ()

    def batch(self, common: Batch, clips: list[Clip[ViewParams]], partners: list[int]) -> Batch:
        """As it is."""
        return common


def view_input(batch: Batch, geometry: Geometry, modalities: Modalities) -> tuple[Tensor | None, Tensor | None]:
    """The model's input: the whole picture at the model's size, the sound at its own loudness."""
    size_px = batch.planes_RTQW.shape[-1]
    rows = len(batch.planes_RTQW)
    video = audio = None
    if "v" in modalities:
        whole_R4 = torch.tensor([[0, 0, size_px, size_px]] * rows)
        video = video_input(batch.planes_RTQW, batch.full_range_R, whole_R4, geometry)
    if "a" in modalities:
        audio = audio_input(batch.sound_RS, batch.samples_R, torch.ones(rows), geometry)
    return video, audio


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """How clips are read. batch: clips of one forward pass."""

    geometry: Geometry
    modalities: Modalities
    precision: Precision
    segments: int
    batch: int = 32
    workers: int = 0


def view_loader(
    shelf: LabelledShards, clips: Sequence[int], config: ViewConfig, device: torch.device
) -> StreamLoader[ViewParams, Batch]:
    """Batches of all views of `clips`, in order."""
    order = ViewOrder(shelf.corpus, clips, config.segments, config.batch)
    stream_config = StreamConfig(shards=".", batch=config.batch, max_fault_share=1.0, epochs=1)
    draws = ViewSampler(geometry=config.geometry, segments=config.segments)
    return StreamLoader(ClipStream(stream_config, draws, chosen=(order, shelf)), workers=config.workers, device=device)


@torch.no_grad()
def predict_clips(
    model: Classifier, task: Task, keys: Sequence[str], config: ViewConfig, place: DistributedContext
) -> Predictions:
    """The answers to `keys`, on every rank; each rank computes its share. The model is left in the mode it was in."""
    training = model.training
    model.eval()
    mine = sorted(keys)[place.rank :: place.size]
    found: dict[str, list[list[float]]] = {}
    unreadable: set[str] = set()
    if mine:
        loader = view_loader(task.shelf, [task.number[key] for key in mine], config, place.device)
        for batch in loader:
            faulty = {fault.position for fault in batch.faults}
            video, audio = view_input(batch, config.geometry, config.modalities)
            with config.precision.autocast(place.device.type):
                logits_BJ = model(video, audio).logits_BJ
            for row, told in enumerate(model.answers(logits_BJ).cpu().double().tolist()):
                at = batch.first + row
                if at < len(mine) * config.segments:
                    key = mine[at // config.segments]
                    if at in faulty:
                        unreadable.add(key)
                    found.setdefault(key, []).append(told)
    model.train(training)
    parts = [(found, unreadable)]
    if place.size > 1:
        gathered: list[tuple[dict[str, list[list[float]]], set[str]] | None] = [None] * place.size
        dist.all_gather_object(gathered, (found, unreadable))
        parts = [part for part in gathered if part is not None]
    views = {key: told for part, _ in parts for key, told in part.items()}
    lost = sorted(key for _, some in parts for key in some)
    known = [key for key in sorted(views) if key not in lost]
    scores = np.array([np.mean(views[key], 0) for key in known])
    return Predictions(
        keys=tuple(known),
        truth=np.array([task.truth[key] for key in known], float),
        scores_NJ=scores,
        unreadable=tuple(lost),
    )
