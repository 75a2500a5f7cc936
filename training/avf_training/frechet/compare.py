"""Features of two sets, batch by batch, and their distances. Shapes: N samples, C features."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from avf_shards.errors import UserError
from avf_shards.text import count_noun

from avf_training.data.storage import StorageConfig
from avf_training.data.window_length import WINDOW_S
from avf_training.evaluation.metrics import Floats
from avf_training.frechet.detector_input import PixelArray
from avf_training.frechet.distance import frechet_distance, kernel_distance
from avf_training.frechet.footage import FootageOptions, list_footage, pictures_of, windows_of
from avf_training.frechet.moments import FeatureMoments
from avf_training.frechet.protocols import FRECHET_PROTOCOLS, FrechetDetector, FrechetProtocol
from avf_training.inference.clip_input import open_clips
from avf_training.inference.feature_model import FeatureModel, read_clips
from avf_training.tasks.labelled_shards import LabelledShards

_BATCH = {"window": 4, "picture": 32}
_CLIP_ROWS = 64  # windows of clips whose features are added at once
OnSample = Callable[[str, int], None]
"""Function that is told the name of a set and how many samples of it have features."""


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """How much of two sets is compared."""

    limit: int | None = None  # samples of each set; None: all, which must be as many
    kernel: bool = False  # compute the kernel distance too

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 2:
            raise UserError(f"--limit {self.limit} must be at least 2")


@dataclass(frozen=True, kw_only=True)
class SetDistance:
    """The distance of two sets, and what it depends on."""

    protocol: str  # name
    frechet: float  # FVD or FID
    kernel: float | None  # KID; None where it was not asked for
    samples: int  # N, of each set
    features: int  # C
    ddof: int  # of the covariances
    detector: str  # SHA-256 of the detector's file, or of the files of an encoder of ours
    frames: int | None  # of a window; None for pictures

    def as_dict(self) -> dict[str, Any]:
        """Return the values for --json."""
        return asdict(self)

    def describe(self) -> str:
        """Return the distance as lines for a terminal."""
        kinds = {"clean": "FID", "avf": "Fréchet distance"}
        name = kinds.get(self.protocol, "FVD")
        lines = [f"{name} ({self.protocol}): {self.frechet:z.4f}"]
        if self.kernel is not None:
            lines.append(f"KID ({self.protocol}): {self.kernel:z.6f}")
        window = "" if self.frames is None else f" of {self.frames} frames"
        lines.append(
            f"  {count_noun(self.samples, 'sample')}{window} of each set, {self.features} features, covariance over "
            f"{'N - 1' if self.ddof else 'N'}; detector {self.detector[:16]}"
        )
        if self.samples <= self.features:
            lines.append(
                "  fewer samples than features: the distance is far too large, and compares only with others of as many"
            )
        return "\n".join(lines)


@dataclass(kw_only=True)
class _Gathered:
    """Moments of the features of a set so far, and the features themselves where the kernel distance needs them."""

    keeps_features: bool
    moments: FeatureMoments | None = None
    parts: list[Floats] | None = None

    def add(self, features_NC: Floats) -> None:
        part = FeatureMoments.of(features_NC)
        self.moments = part if self.moments is None else self.moments + part
        if self.keeps_features:
            self.parts = [*(self.parts or []), features_NC]

    @property
    def count(self) -> int:
        return 0 if self.moments is None else self.moments.count


def compare_footage(
    sets: tuple[Path, Path],
    detector: FrechetDetector,
    footage: FootageOptions,
    options: CompareOptions,
    on_sample: OnSample = lambda name, count: None,
) -> SetDistance:
    """Return the distance of two sets of videos or pictures by a detector of the field.

    Args:
        sets: videos, folders of them, or folders of pictures.
        footage: which frames count.
        options: how many samples, and whether the kernel distance is asked for.
        on_sample: called after each batch.

    Raises:
        UserError: The sets have different numbers of samples, or fewer than two or than the limit.
        FaultError: A file cannot be read.
    """
    protocol = detector.protocol
    read = windows_of if protocol.sample == "window" else pictures_of
    files = [list_footage(path, pictures=protocol.sample == "picture") for path in sets]
    if footage.windows == "first" and protocol.sample == "window" and options.limit is None:
        _require_same_count(sets, (len(files[0]), len(files[1])))  # a sample a file: known before hours of work
    gathered = []
    for path, listed in zip(sets, files, strict=True):
        samples = islice(read(listed, footage), options.limit)
        batches = (detector.features(batch).numpy() for batch in _batches(samples, _BATCH[protocol.sample]))
        gathered.append(_gather(str(path), batches, options.kernel, on_sample))
    frames = footage.frames if protocol.sample == "window" else None
    return _distance(sets, gathered, protocol, options.limit, detector=detector.sha256, frames=frames)


def compare_clips(
    sets: tuple[Path, Path],
    model_path: Path,
    device: str,
    options: CompareOptions,
    on_sample: OnSample = lambda name, count: None,
    *,
    model_sha256: str,
) -> SetDistance:
    """Return the distance of two sets of clips on the input of the head of one of our encoders.

    Arguments and errors as `compare_footage`; a set is also a folder of shards, and `model_sha256` is of the model's
    files.
    """
    model = FeatureModel(model_path, device)
    gathered = []
    for path in sets:
        with open_clips(path) as shards:
            gathered.append(_gather(str(path), _clip_features(model, shards, options.limit), options.kernel, on_sample))
    protocol = FRECHET_PROTOCOLS["avf"]
    return _distance(sets, gathered, protocol, options.limit, detector=model_sha256, frames=None)


def _clip_features(model: FeatureModel, shards: str, limit: int | None) -> Iterator[Floats]:
    clips = LabelledShards([shards], StorageConfig())
    vectors = (
        features.fused.double().cpu().numpy()
        for _, files in read_clips(clips)
        for _, _, features in model.features_over_time(0.0, files, WINDOW_S)
    )
    for batch in _batches(islice(vectors, limit), _CLIP_ROWS):
        yield np.stack(batch)


def _batches(samples: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Yield lists of at most `size` samples of one shape, since videos of a set may differ in size."""
    batch: list[PixelArray] = []
    for sample in samples:
        if batch and (len(batch) == size or sample.shape != batch[0].shape):
            yield batch
            batch = []
        batch.append(sample)
    if batch:
        yield batch


def _gather(name: str, batches: Iterator[Floats], kernel: bool, on_sample: OnSample) -> _Gathered:
    gathered = _Gathered(keeps_features=kernel)
    for features_NC in batches:
        gathered.add(features_NC)
        on_sample(name, gathered.count)
    return gathered


def _distance(
    sets: tuple[Path, Path],
    gathered: list[_Gathered],
    protocol: FrechetProtocol,
    limit: int | None,
    *,
    detector: str,
    frames: int | None,
) -> SetDistance:
    first, second = gathered
    for path, each in zip(sets, gathered, strict=True):
        if each.count < max(2, limit or 0):
            raise UserError(f"{path}: has {count_noun(each.count, 'sample')}; {max(2, limit or 0)} are needed")
    _require_same_count(sets, (first.count, second.count))
    assert first.moments is not None
    assert second.moments is not None
    kernel = None
    if first.parts is not None and second.parts is not None:
        kernel = kernel_distance(np.concatenate(first.parts), np.concatenate(second.parts))
    return SetDistance(
        protocol=protocol.name,
        frechet=frechet_distance(first.moments, second.moments, protocol.ddof),
        kernel=kernel,
        samples=first.count,
        features=len(first.moments.mean_C),
        ddof=protocol.ddof,
        detector=detector,
        frames=frames,
    )


def _require_same_count(sets: tuple[Path, Path], counts: tuple[int, int]) -> None:
    """Raise UserError for sets of different numbers of samples."""
    if counts[0] == counts[1]:
        return
    if min(counts) < 2:
        path = sets[counts.index(min(counts))]
        raise UserError(f"{path}: has {count_noun(min(counts), 'sample')}; 2 are needed")
    raise UserError(
        f"{sets[0]}: has {count_noun(counts[0], 'sample')} and {sets[1]} {counts[1]:,}; the distance depends on the "
        f"number, so take as many of each: --limit {min(counts)}"
    )
