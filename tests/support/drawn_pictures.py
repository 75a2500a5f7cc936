"""Small pictures with a shape on a plain ground, in picture shards, and short runs of image models on them."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from avf_curation.demo.frame_corpus import FrameCorpus, write_frame_corpus
from avf_shards.format.picture_record import StoredPicture, Subset
from avf_training.framewise.pictures.pretrain_recipe import load_image_recipe
from avf_training.framewise.pictures.pretraining import ImagePretrainingData, run_image_pretraining
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from support.picture_shards import make_picture, write_picture_shards

#: A model of image MAE that learns a step in milliseconds.
TINY = (
    "variant={width: 16, depth: 2, heads: 2, size_px: 32, decoder_width: 8, decoder_depth: 1, decoder_heads: 2}",
    *("steps=6", "warmup_steps=2", "batch=8", "micro_batch=4", "workers=0", "threads=1"),
    *("log_every=2", "eval_every=3", "checkpoint_every=2", "checkpoint_keep=9"),
)


def draw_disc(number: int, side_px: int = 40) -> np.ndarray:
    """Return a disc of a random colour, size and place on a random ground."""
    draw = np.random.default_rng(number)
    picture = np.zeros((side_px, side_px, 3), np.uint8) + draw.integers(0, 255, 3).astype(np.uint8)
    y, x = np.mgrid[:side_px, :side_px]
    middle_y, middle_x = draw.integers(side_px // 3, 2 * side_px // 3, 2)
    inside = (y - middle_y) ** 2 + (x - middle_x) ** 2 < draw.integers(6, 14) ** 2
    picture[inside] = draw.integers(0, 255, 3)
    return picture


def disc_picture(
    number: int, *, labels: Mapping[str, str] | None = None, person: str | None = None, subset: Subset | None = None
) -> StoredPicture:
    """Return a disc as a picture of shards."""
    return make_picture(f"disc{number:03d}", draw_disc(number), labels=labels, identity=person, subset=subset)


def pretrain_images(shards: Path, out: Path, *settings: str, validation: Path | None = None) -> int:
    """Run a short image MAE in this process; return the step reached."""
    recipe = load_image_recipe("image_mae_small", (*TINY, *settings))
    return run_image_pretraining(recipe, ImagePretrainingData(shards=[shards], validation=validation), out)


def read_weights(run: Path) -> dict[str, Tensor]:
    """Return the tensors of the last model of a run."""
    return load_file(run / "model/model.safetensors")


def same_bits(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Return whether two models have the same tensors, bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def write_drawn_people(shards: Path, *, train: int, validation: int, pictures: int, tight_px: int = 116) -> None:
    """Write labelled face pictures of drawn people as shards, cropped around the face; nobody is in both sets."""
    folder = shards.with_name(f"{shards.name}-drawn")
    people = FrameCorpus(filmed={}, pictured={"train": train, "validation": validation}, pictures=pictures)
    write_frame_corpus(folder, people)
    stored = []
    with (folder / "pictures/labels.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            person, name = row["file"].removesuffix(".jpg").split("/")
            image = np.asarray(Image.open(folder / "pictures" / row["file"]))
            border = (len(image) - tight_px) // 2
            tight = np.ascontiguousarray(image[border:-border, border:-border])
            labels = {name: value for name, value in row.items() if name not in ("file", "subject", "identity", "set")}
            labels["abaw_expression"] = labels["expression"]
            subset: Subset = "train" if row["set"] == "train" else "validation"
            stored.append(make_picture(f"{person}-{name}", tight, labels=labels, identity=person, subset=subset))
    write_picture_shards(shards, stored, 256)
