"""The models of one worker, loaded once: which backend serves which stage."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from avf_shards.errors import UserError
from avf_shards.format.content import Content

from avf_curation.detectors.silero_vad import SILERO_PACKAGE, SILERO_SHA256, find_silero_weights
from avf_curation.detectors.weights import KNOWN, find_weight, short_digest
from avf_curation.media.types import Bytes
from avf_curation.recipe import Recipe
from avf_curation.stages.faces import Box
from avf_curation.stages.silence import FindSpeech, SpeechBackend
from avf_curation.stages.stage_timer import StageTimer
from avf_curation.stages.tracking import TrackConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BackendSelection:
    """The backends of a run's model stages."""

    track: str  # "dlib", "retinaface-mobilenet" or "retinaface-resnet50"
    sync: str  # "envelope" or "syncnet"
    weights: dict[str, Path]  # files that the backends load, by network: "retinaface", "syncnet"
    content: Content = "clips"  # pictures: only the search for faces is used, by the backend of `track`
    speech: str = "none"  # "silero" or "none"; its weights are in a package, which each machine has at its own path

    def names(self) -> dict[str, str]:
        """Return the backend of each stage, for the log, the ledger's identity and the report."""
        if self.content == "pictures":
            return {"faces": self.track}
        stages = {"faces": "dlib", "silence": "librosa", "speech": self.speech}
        return stages | {"track": self.track, "sync": self.sync}

    def weight_digests(self) -> dict[str, str]:
        """Return the digest of the weights of each network, for the fingerprint."""
        digests = {name: short_digest(path) for name, path in sorted(self.weights.items())}
        return digests | ({"silero": SILERO_SHA256[:16]} if self.speech == "silero" else {})


def resolve_backends(recipe: Recipe, weights_folder: Path) -> BackendSelection:
    """Return the backends that a recipe names, with `auto` resolved.

    `auto` takes the backend whose weights are in the folder, else the embedded backend, which needs none. The choice is
    made for the run, not per source, so that the scores of two sources can be compared.

    Raises UserError if the recipe names a backend whose weights are not there.
    """
    preferred = recipe.run.retinaface
    others = tuple(name for name in ("retinaface_mobilenet", "retinaface_resnet50") if name != preferred)
    settings = recipe.defaults
    track, track_file = _resolve_backend("track", settings.track.backend, "dlib", (preferred, *others), weights_folder)
    hears = recipe.content == "clips"
    sync, sync_file = _resolve_backend(
        "sync", settings.sync.backend if hears else "envelope", "envelope", ("syncnet",), weights_folder
    )
    files = {"retinaface": track_file, "syncnet": sync_file}
    return BackendSelection(
        track=track,
        sync=sync,
        weights={name: path for name, path in files.items() if path is not None},
        content=recipe.content,
        speech=_resolve_speech(settings.silence.speech_backend) if _asks_for_speech(recipe) else "none",
    )


def _asks_for_speech(recipe: Recipe) -> bool:
    """Return whether the sound of any source is split at all."""
    return any(settings.gates.silence != "skip" for settings in (recipe.defaults, *recipe.sources.values()))


def _resolve_speech(setting: SpeechBackend) -> str:
    """Return the backend that tells speech from other sound. Raises UserError."""
    if setting == "none":
        return "none"
    path = find_silero_weights()
    if path is not None:
        log.info("speech: backend silero with %s", path)
        return "silero"
    if setting == "silero":
        raise UserError(
            "silence.speech_backend: silero needs the package silero-vad, which is not installed; get it with\n"
            f"  pip install {SILERO_PACKAGE}"
        )
    log.warning(
        "the package silero-vad is not installed, so the share of speech is not measured: music and noise can be kept; "
        "get it with pip install %s",
        SILERO_PACKAGE,
    )
    return "none"


def _resolve_backend(
    stage: str, setting: str, embedded: str, weights: tuple[str, ...], folder: Path
) -> tuple[str, Path | None]:
    """Return the backend of a stage and the weight file it loads; `weights` are in order of preference."""
    if setting == embedded:
        return embedded, None
    for name in weights:
        if match := find_weight(name, folder):
            entry, path = match
            log.info("%s: backend %s with %s", stage, entry.backend, path)
            return entry.backend, path
    if setting != "auto":
        raise UserError(_describe_missing(f"{stage}.backend", setting, weights[0], folder))
    log.info("%s: embedded backend %s, because %s has no weights for the stage", stage, embedded, folder)
    return embedded, None


def _describe_missing(setting: str, backend: str, name: str, folder: Path) -> str:
    return (
        f"{setting}: {backend} needs {KNOWN[name].file_name} in {folder}, which is not there; get it with\n"
        f"  avf-curate weights pull {name}\nor, if you have the file,\n  avf-curate weights pull {name} --from PATH"
    )


class Detectors:
    """The loaded models of a worker.

    Every library runs one thread, so that results do not depend on the number of cores or on other workers.
    """

    def __init__(self, choice: BackendSelection, device: str = "cpu") -> None:
        from avf_curation.detectors.dlib_faces import DlibFaceDetector
        from avf_curation.detectors.threads import limit_threads
        from avf_curation.media.frame_converter import FrameConverter

        limit_threads()
        self.choice = choice
        self.clock = StageTimer()
        self.converter = FrameConverter()
        self.dlib = DlibFaceDetector()
        self._retinaface: Any = None
        self.syncnet: Any = None
        self.find_speech: FindSpeech | None = None
        if choice.speech == "silero":
            from avf_curation.detectors.silero_vad import SileroVad

            self.find_speech = SileroVad.from_package().find_speech
        if "retinaface" in choice.weights:
            from avf_curation.detectors.retinaface import Architecture, RetinaFaceDetector
            from avf_curation.detectors.weight_files import load_weights

            architecture: Architecture = "mobilenet" if choice.track == "retinaface-mobilenet" else "resnet50"
            path = choice.weights["retinaface"]
            self._retinaface = RetinaFaceDetector(architecture, load_weights(path), device, str(path))
        if "syncnet" in choice.weights:
            from avf_curation.detectors.syncnet import SyncNetScorer

            self.syncnet = SyncNetScorer.from_file(choice.weights["syncnet"], device)
        limit_threads()  # a second time, for torch, which only the models load
        log.debug("models loaded on %s: %s", device, choice.names())

    def faces(self, images_BHWC: list[Bytes], scale: float, config: TrackConfig) -> list[list[Box]]:
        """Return the faces of each BGR image, as boxes in source pixels, by the run's track backend.

        images_BHWC: frames that were resized to `scale` times the source's size.
        """
        if self._retinaface is not None:
            from avf_curation.detectors.retinaface import to_boxes

            detections = self._retinaface.detect(images_BHWC, config.min_score, config.nms_iou)
            return [to_boxes(faces, scale) for faces in detections]
        from avf_curation.media.crop import to_grey

        return [self.dlib.detect(to_grey(np.asarray(image_HWC)), scale, 1, 0.0) for image_HWC in images_BHWC]
