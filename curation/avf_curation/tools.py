"""The warm models of one worker: which backend serves which stage, loaded once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from avf_shards.errors import UserError

from avf_curation.clock import StageClock
from avf_curation.media import Bytes
from avf_curation.recipe import Recipe
from avf_curation.stages.faces import Box
from avf_curation.stages.track import TrackConfig
from avf_curation.weights import WeightFile, find_weight

FindFaces = Callable[[list[Bytes], float, TrackConfig], list[list[Box]]]
"""(pictures of one size, their scale, config) -> faces in source pixels."""


@dataclass(frozen=True)
class Choice:
    """Which backend each model stage uses in a run, and the files they need (name -> path)."""

    track: str
    sync: str
    weights: dict[str, Path]

    def names(self) -> dict[str, str]:
        """Stage -> backend, for the log, the ledger's identity and the report."""
        return {"faces": "dlib", "silence": "librosa", "track": self.track, "sync": self.sync}


def choose(recipe: Recipe, weights_folder: Path) -> Choice:
    """`auto` becomes a name: with weights where they are, else embedded. Raises UserError for a backend without them.

    Backends are chosen for the run, not per source: two sources of one run are measured alike.
    """
    wanted_track, wanted_sync = recipe.defaults.track.backend, recipe.defaults.sync.backend
    files: dict[str, Path] = {}
    track: str = wanted_track
    sync: str = wanted_sync
    if wanted_track != "dlib":
        found = _first(("retinaface_mobilenet", "retinaface_resnet50"), weights_folder, recipe.run.retinaface)
        if found:
            files["retinaface"] = found[1]
            track = found[0].backend  # retinaface-mobilenet or retinaface-resnet50
        elif wanted_track == "retinaface":
            raise UserError(_missing("track.backend", "retinaface", recipe.run.retinaface, weights_folder))
        else:
            track = "dlib"
    if wanted_sync != "envelope":
        found = _first(("syncnet",), weights_folder, "syncnet")
        if found:
            files["syncnet"], sync = found[1], "syncnet"
        elif wanted_sync == "syncnet":
            raise UserError(_missing("sync.backend", "syncnet", "syncnet", weights_folder))
        else:
            sync = "envelope"
    return Choice(track, sync, files)


def _first(names: tuple[str, ...], folder: Path, preferred: str) -> tuple[WeightFile, Path] | None:
    """The preferred weight file if it is there, else the first of `names` that is."""
    for name in sorted(names, key=lambda name: name != preferred):
        found = find_weight(name, folder)
        if found:
            return found
    return None


def _missing(setting: str, backend: str, name: str, folder: Path) -> str:
    from avf_curation.weights import KNOWN

    return (
        f"{setting}: {backend} needs {KNOWN[name].file_name} in {folder}, which is not there; get it with\n"
        f"  avf-curate weights pull {name}\nor, if you have the file,\n  avf-curate weights pull {name} --from PATH"
    )


class Tools:
    """Loaded models. Every library runs one thread: what a worker computes must not depend on its neighbours."""

    def __init__(self, choice: Choice, device: str = "cpu") -> None:
        from avf_curation.backends.decode import Converter
        from avf_curation.backends.dlib_faces import DlibFaces
        from avf_curation.backends.threads import one_thread

        one_thread()
        self.choice = choice
        self.clock = StageClock()
        self.converter = Converter()
        self.dlib = DlibFaces()
        self._retinaface: Any = None
        self.syncnet: Any = None
        if "retinaface" in choice.weights:
            from avf_curation.backends.retinaface import RetinaFaceDetector, load_weights

            architecture = "mobilenet" if choice.track == "retinaface-mobilenet" else "resnet50"
            self._retinaface = RetinaFaceDetector(
                architecture,  # type: ignore[arg-type]  # one of its two names
                load_weights(choice.weights["retinaface"]),
                device,
            )
        if "syncnet" in choice.weights:
            from avf_curation.backends.syncnet import SyncNetScorer

            self.syncnet = SyncNetScorer.from_file(choice.weights["syncnet"], device)

    def faces(self, pictures: list[Bytes], scale: float, config: TrackConfig) -> list[list[Box]]:
        """Faces in BGR pictures that are the source times `scale`, by the run's track backend."""
        if self._retinaface is not None:
            from avf_curation.backends.retinaface import boxes_of

            found = self._retinaface.detect(pictures, config.min_score, config.nms_iou)
            return [boxes_of(one, scale) for one in found]
        from avf_curation.backends.crop import grey

        return [self.dlib.find(grey(np.asarray(picture)), scale, 1, 0.0) for picture in pictures]
