"""How many faces each backend of the faces stage finds: easy ones made hard, crowds, and pictures without a face."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from avf_curation.detectors.detector_set import Detectors, resolve_backends
from avf_curation.detectors.face_finders import FaceFinder
from avf_curation.detectors.weights import pull_weights
from avf_curation.media import crop
from avf_curation.media.types import Bytes
from avf_curation.recipe import load_recipe
from avf_curation.stages.faces import Box
from avf_curation.stages.quality import SHARPNESS_PX

from benchmarks.gates.footage import Shot, read_shots
from benchmarks.gates.hard_faces import HARD_FACES, make_hard_face
from benchmarks.table import SHARED, Section, cpu_s

CONFIG = load_recipe().defaults.faces
HALVES = ("first half", "second half")
_BLURS = (48, 32, 24)  # sigma of a blur is the face's side over this
_CROWDS = ("hamilton_short_cuts.mp4", "street_many_faces_facenet.mp4", "two_faces_datajuicer_video4.mp4")
#: Faces in the pictures of assets/image, counted by eye.
_PICTURES = {
    "ternaus_13_three_faces": 3,
    "obama_one_face": 1,
    "two_people": 2,
    "pyfeat_single_face": 1,
    "pyfeat_multi_face": 5,
    "dlib_2008_002506_three_faces": 3,
    "dlib_2007_007763_seven_faces": 7,
    "dlib_bald_guys_collage": 24,
    "ternaus_no_face": 0,
    "dlib_dogs_no_human_face": 0,
    "grass_no_face": 0,
}


def run() -> list[Section]:
    """Return the figures of all backends that need no file beyond the packages and the shared assets."""
    if not (SHARED / "assets").is_dir():
        return [Section("Faces", "Not measured: the real clips are not here.", [["", ""]])]
    with TemporaryDirectory() as name:
        weights = Path(name)
        pull_weights("retinaface_mobilenet", weights, SHARED / "assets/weights/retinaface_mobilenet0.25_Final.pth")
        finders = {
            backend: Detectors(resolve_backends(load_recipe(None, [f"faces.backend={backend}"]), weights)).face_finder
            for backend in ("dlib", "blazeface", "retinaface")
        }
        finders["dlib+blazeface"] = Detectors(resolve_backends(load_recipe(), weights / "empty")).face_finder
    shots = list(read_shots(CONFIG.side_px, 5, min_frames=50))
    return [_hard_faces(finders, shots), _crowds(finders, shots), _pictures(finders), _sharpness(finders, shots)]


def _find(finder: FaceFinder, frame_HWC: Bytes) -> list[Box]:
    image = crop.to_grey(frame_HWC) if finder.pixel_format == "gray" else frame_HWC
    return finder.find([image], 1.0, CONFIG)[0]


def _hard_faces(finders: Mapping[str, FaceFinder], shots: list[Shot]) -> Section:
    rows = [["face", *(f"{backend}, {half}" for backend in finders for half in HALVES)]]
    faces = []
    for shot in shots:
        frame_HWC = shot.frames_THWC[len(shot.frames_THWC) // 2]
        boxes = [_find(finders[backend], frame_HWC) for backend in ("dlib", "retinaface")]
        if all(len(seen) == 1 for seen in boxes):
            faces.append((shot.number % 2, frame_HWC, boxes[0][0]))
    for kind in HARD_FACES:
        row = [kind]
        for finder in finders.values():
            for half in range(len(HALVES)):
                hits = [_is_seen(finder, *make_hard_face(frame, face, kind)) for n, frame, face in faces if n == half]
                row.append(f"{sum(hits)} of {len(hits)}")
        rows.append(row)
    frame_HWC = faces[0][1]
    costs = [f"{1000 * cpu_s(lambda finder=finder: _find(finder, frame_HWC)):.0f}" for finder in finders.values()]  # type: ignore[misc]  # mypy infers no type for a default of a lambda
    rows.append(["CPU ms for a frame", *(cell for cost in costs for cell in (cost, ""))])
    note = (
        "One frame of each shot of the real clips in which dlib and RetinaFace see exactly one face, made hard to see: the share that is still "
        "found. No limit was chosen on these: they are the owners' own."
    )
    return Section("Hard faces", note, rows)


def _is_seen(finder: FaceFinder, frame_HWC: Bytes, face: Box) -> bool:
    """Return whether a face is found whose centre is within half a side of the true one."""
    return any(
        np.hypot(box.centre[0] - face.centre[0], box.centre[1] - face.centre[1]) < face.side / 2
        for box in _find(finder, frame_HWC)
    )


def _crowds(finders: Mapping[str, FaceFinder], shots: list[Shot]) -> Section:
    rows = [["shot", *finders]]
    for shot in shots:
        if shot.clip in _CROWDS:
            frames = [shot.frames_THWC[int((n + 0.5) * len(shot.frames_THWC) / 5)] for n in range(5)]
            counts = [[len(_find(finder, frame)) for frame in frames] for finder in finders.values()]
            rows.append([f"{shot.clip}, from frame {shot.span.start_frame}", *(str(row).strip("[]") for row in counts)])
    return Section("Faces in crowds", "Faces found in each of five frames of shots of several people.", rows)


def _sharpness(finders: Mapping[str, FaceFinder], shots: list[Shot]) -> Section:
    """Compare the sharpness of faces by the boxes of two detectors, and of the same faces blurred."""
    rows = [["shot", "half", "face px", "by dlib", "by RetinaFace", *(f"blurred, 1/{share}" for share in _BLURS)]]
    for shot in shots:
        frame_HWC = shot.frames_THWC[len(shot.frames_THWC) // 2]
        faces = _find(finders["dlib"], frame_HWC)
        if not faces:
            continue
        face = max(faces, key=lambda box: box.side)
        others = [box for box in _find(finders["retinaface"], frame_HWC) if box.iou(face) > 0.3]
        blurred = [cv2.GaussianBlur(frame_HWC, (0, 0), face.side / share) for share in _BLURS]
        values = [
            _measure_sharpness(frame_HWC, face),
            *(_measure_sharpness(frame_HWC, box) for box in others[:1]),
            *([] if others else [float("nan")]),
            *(_measure_sharpness(np.asarray(image, np.uint8), face) for image in blurred),
        ]
        half = HALVES[shot.number % 2]
        rows.append([f"{shot.clip}, {shot.span.start_frame}", half, f"{face.side:.0f}", *(f"{v:.0f}" for v in values)])
    note = (
        "Variance of the Laplacian on the face, 64 px wide, in the middle frame of each shot of the real clips; blurred: by a Gaussian whose sigma "
        "is that share of the face's side. `quality.min_sharpness` was set on the first half."
    )
    return Section("Sharpness", note, rows)


def _measure_sharpness(frame_HWC: Bytes, face: Box) -> float:
    x, y, side = face.square
    return crop.sharpness(crop.to_grey(crop.crop_square(frame_HWC, (x, y), side, SHARPNESS_PX)))


def _pictures(finders: Mapping[str, FaceFinder]) -> Section:
    rows = [["picture", "faces", *finders]]
    for name, faces in _PICTURES.items():
        image_HWC = np.asarray(cv2.imread(str(SHARED / f"assets/image/{name}.jpg")))
        scale = CONFIG.side_px / max(image_HWC.shape)
        small_HWC = np.asarray(cv2.resize(image_HWC, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        rows.append([name, str(faces), *(str(len(_find(finder, small_HWC))) for finder in finders.values())])
    return Section("Faces in pictures", "Faces found.", rows)
