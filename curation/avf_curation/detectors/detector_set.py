"""The models of one worker, loaded once: which backend serves which stage."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from avf_shards.errors import UserError
from avf_shards.format.content import Content

from avf_curation.detectors.added_finders import AddedFinder, CheckedFinder, resolve_added
from avf_curation.detectors.optional_networks import (
    describe_missing_weights,
    resolve_embedder,
    resolve_identity,
    resolve_shots,
)
from avf_curation.detectors.package_weights import TRANSNETV2
from avf_curation.detectors.shipped_weights import BLAZEFACE, FACE_MESH, SILERO, SYNC_HEAD
from avf_curation.detectors.sync_head_file import HEAD_FILE, read_head
from avf_curation.detectors.weights import find_weight, is_weight_file, short_digest
from avf_curation.media.types import Bytes
from avf_curation.recipe import Recipe
from avf_curation.stages.faces import Box, FacesBackend
from avf_curation.stages.silence import FindSpeech, SpeechBackend
from avf_curation.stages.stage_timer import StageTimer
from avf_curation.stages.tracking import TrackBackend, TrackConfig

if TYPE_CHECKING:
    from avf_curation.detectors.face_finders import FaceFinder  # loads OpenCV, which commands do without

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BackendSelection:
    """The backends of a run's model stages."""

    track: str  # "dlib", "retinaface-mobilenet" or "retinaface-resnet50"
    sync: str  # "envelope", "learned" or "syncnet"
    #: Files that the backends load, by network: "retinaface", "yunet", "syncnet", "lr_asd", "sync_head", "dlib_resnet".
    weights: dict[str, Path]
    content: Content = "clips"  # pictures: only the search for faces is used
    faces: str = "dlib"  # also "dlib+blazeface", "blazeface", "yunet", or as `track`
    speaker: str = "none"  # "lr-asd" or "none"
    identity: str = "none"  # "dlib-resnet" or "none"
    shots: str = "none"  # "transnetv2" or "none", beside PySceneDetect's detectors and the one of dissolves
    speech: str = "none"  # "silero" or "none"; its weights come with the program
    added: tuple[AddedFinder, ...] = ()  # face detectors of packages, by whose names `faces` and `track` call them

    def names(self) -> dict[str, str]:
        """Return the backend of each stage, for the log, the ledger's identity and the report."""
        if self.content == "pictures":
            return {"faces": self.faces}
        stages = {"faces": self.faces, "silence": "librosa", "speech": self.speech}
        stages |= {"track": self.track, "speaker": self.speaker, "sync": self.sync}
        stages |= {"identity": self.identity} if self.identity != "none" else {}
        return stages if self.shots == "none" else {"scenes": self.shots} | stages

    def weight_digests(self) -> dict[str, str]:
        """Return the digest of the weights of each network, for the fingerprint."""
        digests = {name: short_digest(path) for name, path in sorted(self.weights.items())}
        digests |= {finder.name: finder.digest for finder in self.added}
        if "blazeface" in self.faces:
            digests["blazeface"] = BLAZEFACE.sha256[:16]
        digests |= {"transnetv2": TRANSNETV2.sha256[:16]} if self.shots == "transnetv2" else {}
        if self.sync == "learned" or self.identity != "none":
            digests["face_mesh"] = FACE_MESH.sha256[:16]
        return digests | ({"silero": SILERO.sha256[:16]} if self.speech == "silero" else {})


def resolve_backends(recipe: Recipe, weights_folder: Path) -> BackendSelection:
    """Return the backends that a recipe names, with `auto` resolved.

    `auto` takes the backend whose weights are in the folder, else the embedded backend, which needs none. The choice is
    made for the run, not per source, so that the scores of two sources can be compared.

    Raises UserError if the recipe names a backend whose weights are not there.
    """
    preferred = recipe.run.retinaface
    others = tuple(name for name in ("retinaface_mobilenet", "retinaface_resnet50") if name != preferred)
    settings = recipe.defaults
    track, track_file = _resolve_track(settings.track.backend, (preferred, *others), weights_folder)
    hears = recipe.content == "clips" and _asks(recipe, "sync")
    sync, sync_file = _resolve_sync(settings.sync.backend if hears else "envelope", weights_folder)
    speaker, speaker_file = _resolve_speaker(recipe, weights_folder)
    if sync == "learned" and sync_file is not None:
        speaker_file = resolve_embedder(sync_file, weights_folder) or speaker_file
    identity, identity_file = resolve_identity(recipe, weights_folder)
    faces_setting = settings.faces.backend
    if recipe.content == "pictures" and faces_setting == "auto" and track_file is None:
        # BlazeFace takes one of ten patterns of soft spots for a face. A video has more frames, and a track by dlib.
        faces_setting = "dlib"
    faces, faces_file = _resolve_faces(faces_setting, (track, track_file), (preferred, *others), weights_folder)
    files = {
        "retinaface": track_file,
        ("sync_head" if sync == "learned" else "syncnet"): sync_file,
        "lr_asd": speaker_file,
        "dlib_resnet": identity_file,
    }
    if faces_file is not None:
        files["yunet" if faces == "yunet" else "retinaface"] = faces_file
    return BackendSelection(
        track=track,
        sync=sync,
        weights={name: path for name, path in files.items() if path is not None},
        content=recipe.content,
        faces=faces,
        speaker=speaker,
        identity=identity,
        shots=resolve_shots(recipe),
        speech=_resolve_speech(settings.silence.speech_backend) if _asks(recipe, "silence") else "none",
        added=resolve_added({faces, track}),
    )


def _resolve_track(setting: str, retinaface: tuple[str, ...], folder: Path) -> tuple[str, Path | None]:
    """Return the backend of the track stage and its weight file; arguments as `_resolve_faces` has them."""
    if setting not in get_args(TrackBackend):  # of a package: resolve_added looks for it
        return setting, None
    return _resolve_backend("track", setting, "dlib", retinaface, folder)


def _resolve_faces(
    setting: FacesBackend, track: tuple[str, Path | None], retinaface: tuple[str, ...], folder: Path
) -> tuple[str, Path | None]:
    """Return the backend of the faces stage and its weight file. Raises UserError.

    Args:
        setting: as the recipe has it.
        track: the backend of the track stage and its weight file.
        retinaface: the names of RetinaFace's weight files, in order of preference.
        folder: the weights folder.
    """
    if setting == "yunet":
        return _resolve_backend("faces", setting, "dlib", ("yunet",), folder)
    if setting == "retinaface" and track[1] is None:
        return _resolve_backend("faces", setting, "dlib", retinaface, folder)
    if setting == "retinaface" or (setting == "auto" and track[1] is not None):
        return track
    if setting == "dlib" or setting not in get_args(FacesBackend):  # of a package: resolve_added looks for it
        return setting, None
    backend = "blazeface" if setting == "blazeface" else "dlib+blazeface"
    log.info("faces: backend %s with %s", backend, BLAZEFACE.check())
    return backend, None


def _asks(recipe: Recipe, stage: str) -> bool:
    """Return whether a stage measures any source."""
    return any(getattr(settings.gates, stage) != "skip" for settings in (recipe.defaults, *recipe.sources.values()))


def _resolve_speech(setting: SpeechBackend) -> str:
    """Return the backend that tells speech from other sound. Raises UserError for damaged weights."""
    if setting == "none":
        return "none"
    log.info("speech: backend silero with %s", SILERO.check())
    return "silero"


def _resolve_speaker(recipe: Recipe, folder: Path) -> tuple[str, Path | None]:
    """Return the backend that says who speaks, and its weight file. Raises UserError where a setting needs it."""
    every = [recipe.defaults, *recipe.sources.values()]
    setting = recipe.defaults.speaker.backend
    if recipe.content == "pictures" or setting == "none" or not _asks(recipe, "speaker"):
        return "none", None
    if match := find_weight("lr_asd", folder):
        log.info("speaker: backend %s with %s", match[0].backend, match[1])
        return match[0].backend, match[1]
    if setting != "auto":
        raise UserError(describe_missing_weights("speaker.backend", setting, "lr_asd", folder))
    if any(each.track.people == "speaker" for each in every):
        raise UserError(describe_missing_weights("track.people", "speaker", "lr_asd", folder))
    log.info("speaker: not measured, because %s has no weights for it: avf-curate weights pull lr_asd", folder)
    return "none", None


def _resolve_sync(setting: str, folder: Path) -> tuple[str, Path | None]:
    """Return the backend of the sync stage and the weight file it loads: syncnet where its weights are, else learned.

    The learned backend takes the network in the folder, else that of the package. Raises UserError if the setting names
    a backend whose weights are not there.
    """
    if setting == "learned" or (setting == "auto" and find_weight("syncnet", folder) is None):
        head = folder / HEAD_FILE
        FACE_MESH.check()
        if is_weight_file(head):
            read_head(head)  # a damaged file is an error now, and not of each worker
            log.info("sync: backend learned with %s", head)
            return "learned", head
        log.info("sync: backend learned with the network of the package, because %s is not there", head)
        return "learned", SYNC_HEAD.check()
    return _resolve_backend("sync", setting, "envelope", ("syncnet",), folder)


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
        raise UserError(describe_missing_weights(f"{stage}.backend", setting, weights[0], folder))
    log.info("%s: embedded backend %s, because %s has no weights for the stage", stage, embedded, folder)
    return embedded, None


class Detectors:
    """The loaded models of a worker.

    Every library runs one thread, so that results do not depend on the number of cores or on other workers.
    """

    def __init__(self, choice: BackendSelection, device: str = "cpu", digests: Mapping[str, str] | None = None) -> None:
        """Load the models.

        Args:
            choice: the backends and their files.
            device: of torch.
            digests: the weights of each network, as `BackendSelection.weight_digests` returned them at the run's
                start; None takes the files as they are.

        Raises:
            ReplacedWeightsError: a file that is loaded has another digest.
            UserError: a file or a package cannot be used.
        """
        from avf_curation.detectors.dlib_faces import DlibFaceDetector
        from avf_curation.detectors.threads import limit_threads
        from avf_curation.media.frame_converter import FrameConverter

        limit_threads()
        self.choice = choice
        self._digests = digests or {}
        self.clock = StageTimer()
        self.converter = FrameConverter()
        self.dlib = DlibFaceDetector()
        self._retinaface: Any = None
        self.syncnet: Any = None
        self.lr_asd: Any = None
        self.sync_head: Any = None
        self.face_mesh: Any = None
        self.face_embedder: Any = None
        self.find_speech: FindSpeech | None = None
        if choice.speech == "silero":
            from avf_curation.detectors.silero_vad import SileroVad

            self.find_speech = SileroVad.from_program(self._digests.get("silero", SILERO.sha256)).find_speech
        if "retinaface" in choice.weights:
            from avf_curation.detectors.retinaface import Architecture, RetinaFaceDetector
            from avf_curation.detectors.weight_files import load_weights

            is_small = "retinaface-mobilenet" in (choice.track, choice.faces)
            architecture: Architecture = "mobilenet" if is_small else "resnet50"
            path = choice.weights["retinaface"]
            weights = load_weights(path, digest=self._digests.get("retinaface"))
            self._retinaface = RetinaFaceDetector(architecture, weights, device, str(path))
        if "syncnet" in choice.weights:
            from avf_curation.detectors.syncnet import SyncNetScorer

            self.syncnet = SyncNetScorer.from_file(choice.weights["syncnet"], device, self._digests.get("syncnet"))
        self._added = {each.name: CheckedFinder(each.name, self._digests.get(each.name)) for each in choice.added}
        self.face_finder = self._load_face_finder()
        if "lr_asd" in choice.weights:
            from avf_curation.detectors.lr_asd import LrAsd

            self.lr_asd = LrAsd.from_file(choice.weights["lr_asd"], device, self._digests.get("lr_asd"))
        self._load_networks_of_points()
        self.shot_network = self._load_shot_network(device)
        limit_threads()  # a second time, for torch, which only the models load
        log.debug("models loaded on %s: %s", device, choice.names())

    def _load_networks_of_points(self) -> None:
        """Load FaceMesh and the networks that stand on its points. Raises as `__init__`."""
        choice = self.choice
        if {"sync_head", "dlib_resnet"} & choice.weights.keys():
            from avf_curation.detectors.face_mesh import FaceMesh

            self.face_mesh = FaceMesh.from_program(self._digests.get("face_mesh", FACE_MESH.sha256))
        if "dlib_resnet" in choice.weights:
            from avf_curation.detectors.face_embedding import FaceEmbedder

            path = choice.weights["dlib_resnet"]
            self.face_embedder = FaceEmbedder(path, self.face_mesh, self._digests.get("dlib_resnet"))
        if "sync_head" in choice.weights:
            from avf_curation.detectors.sync_head import SyncHead

            self.sync_head = SyncHead.from_file(choice.weights["sync_head"], self._digests.get("sync_head"))

    def _load_shot_network(self, device: str) -> Any:
        """Return TransNetV2 where the run asks for it. Raises as `__init__`."""
        if self.choice.shots != "transnetv2":
            return None
        from avf_curation.detectors.transnetv2 import TransNetV2

        return TransNetV2.from_package(device, self._digests.get("transnetv2", TRANSNETV2.sha256))

    def _load_face_finder(self) -> "FaceFinder":
        """Return the detector of the faces stage. Raises UserError where its file cannot be read."""
        from avf_curation.detectors.face_finders import DlibFinder, JoinedFinder

        backend = self.choice.faces
        if backend in self._added:
            return self._added[backend]
        if backend == "dlib":
            return DlibFinder(self.dlib)
        if backend == "yunet":
            from avf_curation.detectors.yunet import YuNetFinder

            return YuNetFinder(self.choice.weights["yunet"], self._digests.get("yunet"))
        if "blazeface" in backend:
            from avf_curation.detectors.blazeface import BlazeFaceFinder

            blazeface = BlazeFaceFinder(self._digests.get("blazeface", BLAZEFACE.sha256))
            return blazeface if backend == "blazeface" else JoinedFinder(self.dlib, blazeface)
        from avf_curation.detectors.retinaface import RetinaFaceFinder

        return RetinaFaceFinder(self._retinaface)

    def faces(self, images_BHWC: list[Bytes], scale: float, config: TrackConfig) -> list[list[Box]]:
        """Return the faces of each BGR image, as boxes in source pixels, by the run's track backend.

        images_BHWC: frames that were resized to `scale` times the source's size.
        """
        from avf_curation.media.crop import to_grey

        if (finder := self._added.get(self.choice.track)) is not None:
            seen = [to_grey(image) for image in images_BHWC] if finder.pixel_format == "gray" else images_BHWC
            return finder.find(seen, scale, config)
        if self.choice.track != "dlib":
            from avf_curation.detectors.retinaface import to_boxes

            detections = self._retinaface.detect(images_BHWC, config.min_score, config.nms_iou)
            return [to_boxes(faces, scale) for faces in detections]
        return [self.dlib.detect(to_grey(np.asarray(image_HWC)), scale, 1, 0.0) for image_HWC in images_BHWC]
