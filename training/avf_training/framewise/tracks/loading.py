"""From the name of an extractor and its weights to the extractor."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from avf_shards.errors import FaultError, UserError

from avf_training.framewise.tracks.added_extractors import AddedExtractor, find_added_extractor
from avf_training.framewise.tracks.extractor import FrameVectors, PictureFormat, TrackExtractor
from avf_training.framewise.tracks.extractor_names import EXTRACTORS, check_extractor, check_weights, find_extractor
from avf_training.framewise.tracks.footage import Footage
from avf_training.framewise.tracks.identity import ExtractorIdentity
from avf_training.models.precision import use_single_precision


def load_extractor(name: str, weights: Path | None, device: str = "cpu") -> TrackExtractor:
    """Return an extractor with its weights, None for one that has none.

    Raises UserError for an unknown name, or weights that are missing, too many or do not fit.
    """
    check_extractor(name)
    check_weights(name, given=weights is not None)
    if weights is not None:
        use_single_precision()  # features are those of a CPU, but for the order of sums
    if name in EXTRACTORS:
        loaded: TrackExtractor = find_extractor(name).load_function()(name, weights, torch.device(device))
        return loaded
    added = find_added_extractor(name)
    assert added is not None, "its name was checked"
    return _load_added(added, weights, torch.device(device))


def _load_added(added: AddedExtractor, weights: Path | None, device: torch.device) -> TrackExtractor:
    """Return the extractor of a package, of which every fault names the package. Raises UserError."""
    package, extractor = added.addition.package, added.extractor
    where = f"--extractor {extractor.name}: {package}"
    try:
        loaded = extractor.load_function()(extractor.name, weights, device)
        identity, picture_input = loaded.identity, loaded.picture_input
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    except (Exception, SystemExit) as error:  # whatever strange code raises
        raise UserError(f"{where} cannot load it ({type(error).__name__}: {error}); tell its owners") from error
    if not isinstance(identity, ExtractorIdentity) or identity.name != extractor.name:
        raise UserError(f"{where} gives it the identity {identity!r:.80}, not one of its name; tell its owners")
    if not isinstance(picture_input, PictureFormat | None):
        raise UserError(f"{where} asks for pictures by {picture_input!r:.80}, no PictureFormat; tell its owners")
    return _CheckedExtractor(loaded, identity.add_settings(added.settings), package)


class _CheckedExtractor:
    """An extractor of a package whose vectors are looked at before a track holds them."""

    def __init__(self, extractor: Any, identity: ExtractorIdentity, package: str) -> None:
        self.identity = identity
        self._extractor, self._package = extractor, package

    @property
    def picture_input(self) -> PictureFormat | None:
        """Return what the package's extractor asks for."""
        asked: PictureFormat | None = self._extractor.picture_input
        return asked

    def extract(self, footage: Footage) -> FrameVectors:
        """Return the vectors of a stretch. Raises FaultError where the package fails, or they are no vectors of it."""
        try:
            vectors = self._extractor.extract(footage)
        except FaultError:
            raise
        except (Exception, SystemExit) as error:
            raise FaultError(f"{self._package}: {type(error).__name__}: {error}") from error
        fault = "returns no FrameVectors" if not isinstance(vectors, FrameVectors) else _find_fault(vectors, footage)
        if fault:
            raise FaultError(f"{self._package}: {fault}")
        return FrameVectors(
            rows_R=np.asarray(vectors.rows_R, np.int64), vectors_RD=np.asarray(vectors.vectors_RD, np.float32)
        )


def _find_fault(vectors: FrameVectors, footage: Footage) -> str:
    """Return what is wrong with the vectors of a stretch, or nothing."""
    rows_R, vectors_RD = np.asarray(vectors.rows_R), np.asarray(vectors.vectors_RD)
    if rows_R.ndim != 1 or vectors_RD.ndim != 2 or len(rows_R) != len(vectors_RD):
        return f"rows of shape {rows_R.shape} and vectors of shape {vectors_RD.shape} do not fit"
    if len(rows_R) and (rows_R.min() < 0 or rows_R.max() >= footage.frames or (np.diff(rows_R) <= 0).any()):
        return f"rows are not rising frames from 0 to {footage.frames - 1}"
    return "" if np.isfinite(vectors_RD).all() else "vectors have values that are not finite"
