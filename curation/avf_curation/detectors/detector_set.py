"""The warm models of one worker: which backend serves which stage, loaded once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from avf_shards.errors import UserError

from avf_curation.detectors.weights import KNOWN, find_weight
from avf_curation.media.types import Bytes
from avf_curation.recipe import Recipe
from avf_curation.stages.faces import Box
from avf_curation.stages.stage_timer import StageTimer
from avf_curation.stages.tracking import TrackConfig


@dataclass(frozen=True, kw_only=True)
class BackendSelection:
    """Which backend each model stage uses in a run, and the files they need (name -> path)."""

    track: str
    sync: str
    weights: dict[str, Path]

    def names(self) -> dict[str, str]:
        """Stage -> backend, for the log, the ledger's identity and the report."""
        return {"faces": "dlib", "silence": "librosa", "track": self.track, "sync": self.sync}


def resolve_backends(recipe: Recipe, weights_folder: Path) -> BackendSelection:
    """`auto` becomes a name: with weights where they are, else embedded. Raises UserError for a backend without them.

    Backends are chosen for the run, not per source: two sources of one run are measured alike.
    """
    preferred = recipe.run.retinaface
    others = tuple(name for name in ("retinaface_mobilenet", "retinaface_resnet50") if name != preferred)
    settings = recipe.defaults
    track, track_file = _backend("track", settings.track.backend, "dlib", (preferred, *others), weights_folder)
    sync, sync_file = _backend("sync", settings.sync.backend, "envelope", ("syncnet",), weights_folder)
    files = {"retinaface": track_file, "syncnet": sync_file}
    return BackendSelection(
        track=track, sync=sync, weights={name: path for name, path in files.items() if path is not None}
    )


def _backend(stage: str, wanted: str, embedded: str, weights: tuple[str, ...], folder: Path) -> tuple[str, Path | None]:
    """The backend of one stage and the weight file it needs; `weights` in order of preference."""
    if wanted == embedded:
        return embedded, None
    for name in weights:
        found = find_weight(name, folder)
        if found:
            return found[0].backend, found[1]
    if wanted != "auto":
        raise UserError(_missing(f"{stage}.backend", wanted, weights[0], folder))
    return embedded, None


def _missing(setting: str, backend: str, name: str, folder: Path) -> str:
    return (
        f"{setting}: {backend} needs {KNOWN[name].file_name} in {folder}, which is not there; get it with\n"
        f"  avf-curate weights pull {name}\nor, if you have the file,\n  avf-curate weights pull {name} --from PATH"
    )


class Detectors:
    """Loaded models. Every library runs one thread: what a worker computes must not depend on its neighbours."""

    def __init__(self, choice: BackendSelection, device: str = "cpu") -> None:
        from avf_curation.detectors.dlib_faces import DlibFaceDetector
        from avf_curation.detectors.threads import limit_threads
        from avf_curation.media.decode import FrameConverter

        limit_threads()
        self.choice = choice
        self.clock = StageTimer()
        self.converter = FrameConverter()
        self.dlib = DlibFaceDetector()
        self._retinaface: Any = None
        self.syncnet: Any = None
        if "retinaface" in choice.weights:
            from avf_curation.detectors.retinaface import Architecture, RetinaFaceDetector
            from avf_curation.detectors.weight_files import load_weights

            architecture: Architecture = "mobilenet" if choice.track == "retinaface-mobilenet" else "resnet50"
            self._retinaface = RetinaFaceDetector(architecture, load_weights(choice.weights["retinaface"]), device)
        if "syncnet" in choice.weights:
            from avf_curation.detectors.syncnet import SyncNetScorer

            self.syncnet = SyncNetScorer.from_file(choice.weights["syncnet"], device)
        limit_threads()  # torch as well, where it came with a model

    def faces(self, pictures: list[Bytes], scale: float, config: TrackConfig) -> list[list[Box]]:
        """Faces in BGR pictures that are the source times `scale`, by the run's track backend."""
        if self._retinaface is not None:
            from avf_curation.detectors.retinaface import to_boxes

            found = self._retinaface.detect(pictures, config.min_score, config.nms_iou)
            return [to_boxes(one, scale) for one in found]
        from avf_curation.media.crop import to_grey

        return [self.dlib.detect(to_grey(np.asarray(picture)), scale, 1, 0.0) for picture in pictures]
