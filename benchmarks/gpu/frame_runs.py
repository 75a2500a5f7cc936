"""Short runs of the frame-level commands on drawn pictures and planted tracks, by the functions behind the commands."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from avf_training.data.storage import StorageConfig
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.models.static_nets import StaticNet
from avf_training.framewise.pictures.finetune_recipe import load_image_finetune_recipe
from avf_training.framewise.pictures.finetuning import finetune_images
from avf_training.framewise.pictures.pretrain_recipe import load_image_recipe
from avf_training.framewise.pictures.pretraining import ImagePretrainingData, run_image_pretraining
from avf_training.framewise.pictures.shard_labels import read_labelled_shards
from avf_training.framewise.training import train_frames
from avf_training.framewise.training.frame_network import FrameNetwork
from avf_training.framewise.training.frame_recipe import load_frame_recipe
from avf_training.framewise.training.train_frames import FrameTrainingData, run_frame_training
from avf_training.trainer.run_folder import MODEL, RESULT
from PIL import Image
from support.picture_shards import make_picture, write_picture_shards
from support.planted_tracks import write_planted_corpus

from benchmarks.gpu.dropout import turn_off_dropout

Run = Callable[[Path, str], None]
"""Run a command into a folder on a device."""

_SHORT = ("threads=2", "checkpoint_keep=99", "log_every=1000")
_SIZE = "variant={width: 32, depth: 2, heads: 2, size_px: 32, decoder_width: 16, decoder_depth: 1, decoder_heads: 2}"
_PEOPLE, _SIDE_PX, _VIDEO_PICTURES = 8, 40, 20
_WINDOWS = ("batch=8", "window=10", "patience=null", "warmup_steps=4", "class_weights=none", "normalization=standard")


@dataclass(frozen=True, kw_only=True)
class FrameCorpora:
    """What the runs read."""

    shards: Path  # labelled pictures
    folders: Path  # folders of numbered pictures, VIDEO/00001.png
    tracks: Path
    labels: Path


def write_frame_corpora(folder: Path, pictures: int) -> FrameCorpora:
    """Write so many labelled pictures, a folder of numbered ones, and tracks with labels of nine short videos."""
    members = []
    for number in range(pictures):
        draw = np.random.default_rng(number)
        units = {f"AU{unit}": str(int(draw.integers(2))) for unit in (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26)}
        affect = {name: f"{draw.uniform(-1, 1):.3f}" for name in ("valence", "arousal")}
        expression = {"abaw_expression": ("Neutral", "Anger", "Happiness")[number % 3]}
        person = number % _PEOPLE
        members.append(
            make_picture(
                f"disc{number:03d}",
                draw_picture(number),
                labels=units | affect | expression,
                identity=f"p{person}",
                subset="validation" if person < 2 else "train",
            )
        )
    write_picture_shards(folder / "shards", members, 16)
    write_numbered_pictures(folder / "folders/video", _VIDEO_PICTURES, _SIDE_PX)
    tracks, labels = write_planted_corpus(folder / "planted")
    return FrameCorpora(shards=folder / "shards", folders=folder / "folders", tracks=tracks, labels=labels)


def draw_picture(number: int, side_px: int = _SIDE_PX) -> np.ndarray:
    """Return a disc of a random colour and size on a random ground, (P, P, 3)."""
    draw = np.random.default_rng(number)
    picture = np.full((side_px, side_px, 3), draw.integers(0, 255, 3), np.uint8)
    y, x = np.mgrid[:side_px, :side_px]
    middle_y, middle_x = draw.integers(side_px // 3, 2 * side_px // 3, 2)
    inside = (y - middle_y) ** 2 + (x - middle_x) ** 2 < (side_px * draw.uniform(0.15, 0.35)) ** 2
    picture[inside] = draw.integers(0, 255, 3)
    return picture


def write_numbered_pictures(folder: Path, count: int, side_px: int, kind: str = "png") -> list[Path]:
    """Write pictures 00001, 00002 and so on, and return their files."""
    folder.mkdir(parents=True)
    files = [folder / f"{number:05d}.{kind}" for number in range(1, count + 1)]
    for number, file in enumerate(files):
        Image.fromarray(draw_picture(number % 64, side_px)).save(file)
    return files


def pretraining_run(corpora: FrameCorpora, steps: int, *settings: str) -> Run:
    """Return a run of `pretrain-images`."""
    base = ("batch=8", "micro_batch=4", "warmup_steps=2", "workers=0", "eval_every=0", "optim.base_lr=1e-4", _SIZE)
    every = f"checkpoint_every={max(1, steps // 3)}"
    recipe = load_image_recipe("image_mae_small", (*base, *_SHORT, every, f"steps={steps}", *settings))
    data = ImagePretrainingData(shards=[corpora.shards])
    return lambda out, device: _ignore(run_image_pretraining(recipe, data, out, device=device))


def finetuning_run(corpora: FrameCorpora, task: str, start: Path | None, *settings: str) -> Run:
    """Return a run of `finetune-images`, by a static network where there is no start."""
    base = ("batch=8", "micro_batch=8", "epochs=6", "workers=0", "optim.base_lr=1e-4", "optim.min_lr=0")
    name = "sun_b1" if start is None else "image_features_small"
    recipe = load_image_finetune_recipe(name, (*base, *_SHORT, *settings))
    pictures = read_labelled_shards([corpora.shards], find_task(task), StorageConfig())
    return lambda out, device: _ignore(finetune_images(recipe, pictures, start, out, device=device))


def frames_run(corpora: FrameCorpora, task: str, model: str, *settings: str) -> Run:
    """Return a run of `train-frames`."""
    base = (f"model={model}", "visual=[looks]", "epochs=6", "evaluate_every=2", "rate=1e-4", "lowest_rate=1e-5")
    recipe = load_frame_recipe("sun_temporal", (*base, *_WINDOWS, *_SHORT, *settings))
    data = FrameTrainingData(tracks=corpora.tracks, labels=corpora.labels, task=find_task(task))
    return lambda out, device: _ignore(run_frame_training(recipe, data, out, device))


@contextmanager
def without_dropout() -> Iterator[None]:
    """Build the networks of runs without dropout, whose numbers a GPU draws in its own way."""
    make_static = StaticNet.from_config

    def make_frames(spec: Any) -> FrameNetwork:
        return turn_off_dropout(FrameNetwork(spec))

    def make_net(config: Any) -> StaticNet:
        return turn_off_dropout(make_static(config))

    with (
        mock.patch.object(train_frames, "FrameNetwork", make_frames),
        mock.patch.object(StaticNet, "from_config", make_net),
    ):
        yield


def list_checkpoints(run: Path) -> list[int]:
    """Return the steps of a run's checkpoints, rising."""
    return sorted(int(each.name.removeprefix("step-")) for each in (run / "checkpoints").glob("step-*"))


def rewind(run: Path, step: int, kept: Sequence[int]) -> None:
    """Take a finished run back to the checkpoint of a step, as if it had been killed after it."""
    for later in kept:
        if later > step:
            shutil.rmtree(run / f"checkpoints/step-{later:08d}")
    shutil.rmtree(run / MODEL, ignore_errors=True)
    (run / RESULT).unlink(missing_ok=True)


def _ignore(_: object) -> None:
    """Drop what a run returns."""
