"""Emotions over time: a fine-tuned model asked about every window of every clip, and a picture of what it says."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from avf_shards import durable_io
from avf_shards.errors import UserError
from avf_shards.format.manifest import MANIFEST

from avf_training.data.clip import Clip, decode_clip
from avf_training.data.decode import StoredSound
from avf_training.data.storage import StorageConfig
from avf_training.data.transforms import crop_pixels
from avf_training.evaluation.multi_view import ViewParams
from avf_training.inference.feature_model import FeatureModel, read_clips
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.trainer.figures import load_pyplot

HOP_S = 0.64
DRAWN = 12  # clips of one picture
_THUMBNAILS, _THUMBNAIL_PX = 10, 112


@dataclass(frozen=True, kw_only=True)
class WindowPrediction:
    """What the model says of [start_s, stop_s) of the video: shares of the classes, or dimensions."""

    start_s: float
    stop_s: float
    scores: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ClipPrediction:
    """One clip, one person: the video it is of, and moments in order. best: the name of the highest mean share, of
    classes only.
    """

    key: str
    video_id: str
    person: int
    names: tuple[str, ...]
    classes: bool
    moments: tuple[WindowPrediction, ...]

    @property
    def mean(self) -> tuple[float, ...]:
        """Over all moments."""
        return tuple(float(v) for v in np.mean([moment.scores for moment in self.moments], 0))

    @property
    def best(self) -> str | None:
        return self.names[int(np.argmax(self.mean))] if self.classes else None


def find_shards(folder: Path | str) -> str:
    """The shards that `avf-curate clip --out DIR` left in DIR, or DIR itself."""
    inner = Path(folder) / "shards"
    return str(inner) if (inner / MANIFEST).is_file() else str(folder)


def predict(folder: Path | str, model: Path | str, hop_s: float = HOP_S, device: str = "cpu") -> list[ClipPrediction]:
    """What a fine-tuned model says of every clip, a window every `hop_s`.

    folder: of `avf-curate clip`, or of shards. Raises UserError for a model that has learned no answers, FaultError for
    damaged clips.
    """
    asked = FeatureModel(Path(model), device)
    if not asked.fine_tuned:
        raise UserError(f"{model}: is a pre-trained model and has learned no answers; fine-tune it first")
    if hop_s <= 0:
        raise UserError(f"hop_s {hop_s} must be above 0")
    found = []
    for record, files in read_clips(LabelledShards([find_shards(folder)], StorageConfig())):
        moments = []
        for start_s, stop_s, features in asked.over_time(record, files, hop_s):
            assert features.answer is not None
            moments.append(
                WindowPrediction(start_s=start_s, stop_s=stop_s, scores=tuple(features.answer.cpu().tolist()))
            )
        names = asked.names or tuple(f"class {n}" for n in range(asked.model.outputs))
        told = ClipPrediction(
            key=record["key"],
            video_id=record["video_id"],
            person=record["track"],
            names=names,
            classes=asked.classes,
            moments=tuple(moments),
        )
        found.append(told)
    return sorted(found, key=lambda told: (told.video_id, told.moments[0].start_s, told.person))


def draw_predictions(folder: Path | str, told: Sequence[ClipPrediction], out: Path) -> int:
    """A row for each clip, DRAWN at most: pictures of it, and below what the model says over time; how many rows."""
    pyplot = load_pyplot()

    told = told[:DRAWN]
    shelf = LabelledShards([find_shards(folder)], StorageConfig())
    number_of = {one.key: one.index for one in shelf.clips()}
    count = len(told)
    figure = pyplot.figure(figsize=(9, 3.3 * count), layout="constrained")
    rows = figure.add_gridspec(2 * count, 1, height_ratios=[1, 2.2] * count)
    for n, one in enumerate(told):
        above, below = figure.add_subplot(rows[2 * n]), figure.add_subplot(rows[2 * n + 1])
        start_s, stop_s = one.moments[0].start_s, one.moments[-1].stop_s
        strip = np.concatenate(thumbnails(shelf.read(number_of[one.key])), 1)
        above.imshow(strip, aspect="auto", extent=(start_s, stop_s, 0, 1))
        above.set_axis_off()
        above.set_title(f"{one.video_id}, person {one.person + 1}" + (f": {one.best}" if one.best else ""), fontsize=9)
        at_s = [(moment.start_s + moment.stop_s) / 2 for moment in one.moments]
        values = np.array([moment.scores for moment in one.moments])
        if len(at_s) == 1:  # a clip of one window is the same all along
            at_s, values = [start_s, stop_s], np.repeat(values, 2, 0)
        if one.classes:
            below.stackplot(
                at_s, values.T, labels=one.names, colors=list(map(pyplot.get_cmap("tab20"), range(20))), alpha=0.85
            )
            below.set_ylim(0, 1)
        else:
            for name, line in zip(one.names, values.T, strict=True):
                below.plot(at_s, line, "o-", markersize=3, label=name)
        below.set_xlim(start_s, stop_s)
        below.set_xlabel("seconds of the video", fontsize=8)
        below.tick_params(labelsize=7)
        below.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
        below.spines[["top", "right"]].set_visible(False)
    data = io.BytesIO()
    figure.savefig(data, dpi=110, format="png")
    pyplot.close(figure)
    durable_io.replace_file(out, data.getvalue())
    return count


def thumbnails(files: dict[str, bytes]) -> list[np.ndarray]:
    """Pictures evenly spread over a clip, (H, W, 3) uint8."""
    total = StoredSound(files["flac"]).frames
    wanted = np.linspace(0, total - 1, _THUMBNAILS).astype(int) // 4 * 4
    clip: Clip[ViewParams] = decode_clip(files, lambda _: ViewParams(frames=tuple(wanted.tolist()), start_frame=0), 1)
    planes_1TRW = torch.from_numpy(clip.planes_TRW.copy())[None]
    whole_14 = torch.tensor([[0, 0, planes_1TRW.shape[-1], planes_1TRW.shape[-1]]])
    made = crop_pixels(planes_1TRW, torch.tensor([clip.full_range]), whole_14, _THUMBNAIL_PX)[0]
    return list((made * 255).round().byte().permute(1, 2, 3, 0).numpy())
