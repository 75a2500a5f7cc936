"""What every extractor is: an identity, and vectors for rows of a stretch of frames. R rows, D values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from avf_shards.errors import UserError
from avf_shards.format.tar import sha256_file
from avf_shards.schema.fields import Fields
from avf_shards.schema.versions import read_json

from avf_training.framewise.tracks.footage import Footage
from avf_training.framewise.tracks.identity import TRAINED_VIDEOS, ExtractorIdentity
from avf_training.models.saved_config import CONFIG


@dataclass(frozen=True, kw_only=True)
class FrameVectors:
    """What an extractor says of a stretch."""

    rows_R: npt.NDArray[np.int64]  # frames of the stretch, from 0, rising
    vectors_RD: npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class PictureFormat:
    """What a network asks `Footage.pictures` for."""

    size_px: int
    device: torch.device


class TrackExtractor(Protocol):
    """A network with its weights on a device."""

    identity: ExtractorIdentity

    @property
    def picture_input(self) -> "PictureFormat | None":
        """Return what it asks `Footage.pictures` for; None for one that hears, or decodes files by itself."""

    def extract(self, footage: Footage) -> FrameVectors:
        """Return vectors of a stretch. Raises FaultError where it cannot be read."""


def every_frame(vectors_RD: npt.NDArray[np.floating]) -> FrameVectors:
    """Return vectors of which each belongs to one frame, from the first on."""
    return FrameVectors(rows_R=np.arange(len(vectors_RD)), vectors_RD=np.asarray(vectors_RD, np.float32))


def digest_weights(path: Path) -> str:
    """Return the SHA-256 of a file, or of the files of a folder by name, in hexadecimal digits.

    Raises UserError where there is nothing.
    """
    import hashlib

    if path.is_file():
        return sha256_file(path)
    files = sorted(
        each
        for each in path.glob("*")
        if each.suffix in (".safetensors", ".bin", ".json") and each.name != TRAINED_VIDEOS
    )
    if not files:
        raise UserError(f"{path}: no such file, and no folder that holds model.safetensors or pytorch_model.bin")
    listed = json.dumps([[each.name, sha256_file(each)] for each in files])
    return hashlib.sha256(listed.encode()).hexdigest()


def read_sizes(weights: Path) -> Fields | None:
    """Return config.json of a folder of weights; None for a file, or where there is none."""
    path = weights / CONFIG
    return Fields(_as_object(read_json(path)), str(path)) if path.is_file() else None


def _as_object(values: Mapping[str, object]) -> dict[str, object]:
    return dict(values)
