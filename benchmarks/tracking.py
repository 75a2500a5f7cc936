"""The track stage against detecting every frame; our batched ResNet-50 against the package's loop, picture by picture."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from avf_curation.detectors.detector_set import Detectors, resolve_backends
from avf_curation.detectors.retinaface import RetinaFaceDetector, resnet50
from avf_curation.detectors.weights import pull_weights
from avf_curation.media.decode import FrameConverter, MediaFile
from avf_curation.pipeline import refining
from avf_curation.pipeline.video import screen_video
from avf_curation.recipe import load_recipe
from avf_curation.sources.types import Video
from avf_curation.stages import tracking
from avf_curation.stages.candidate import Candidate

from benchmarks.table import SHARED, Section, medians

PICTURES = 8


def run() -> list[Section]:
    return [_resnet(), _tracks()]


def _tracks() -> Section:
    """Every kept track of the real clips, followed by our stage and by a detection on every frame."""
    if not (SHARED / "assets").is_dir():
        return Section("Tracks", "Not measured: the real clips are not here.", [["", ""]])
    recipe = load_recipe()
    settings = recipe.defaults
    every = replace(settings.track, every=1)
    seconds, frames, looked = {"ours": 0.0, "every frame": 0.0}, 0, 0
    ious: list[np.ndarray] = []
    rows = [["clip", "frames", "looked at", "IoU, least", "IoU >= 0.9"]]
    with tempfile.TemporaryDirectory() as name:
        weights = Path(name)
        pull_weights("retinaface_mobilenet", weights, SHARED / "assets/weights/retinaface_mobilenet0.25_Final.pth")
        tools = Detectors(resolve_backends(recipe, weights))
        for path in sorted((SHARED / "assets/video").iterdir()):
            stat = path.stat()
            video = Video(
                source="s",
                video_id=path.name,
                group_id=path.name,
                path=path.name,
                size_bytes=stat.st_size,
                mtime_ns=stat.st_mtime_ns,
            )
            screened = screen_video(video, path.parent, settings, tools)
            if screened.video_track is None:
                continue
            with MediaFile(path, settings.media) as media:
                media.resume(screened.video_track, screened.start_s)
                for part in screened.parts:
                    if not isinstance(part, Candidate):
                        continue
                    seen = refining.decode_for_detector(media, part.span, settings.track.side_px, tools)
                    both = {}
                    for label, config in (("ours", settings.track), ("every frame", every)):
                        refining.track_faces(seen, tools, config)  # warm: priors, kernels for this size
                        start = time.process_time()
                        (both[label], *_) = refining.track_faces(seen, tools, config)
                        seconds[label] += time.process_time() - start
                    ours, all_of_them = both["ours"], both["every frame"]
                    passed = all(check.passed is not False for check in tracking.decide(ours, settings.track))
                    if ours is None or all_of_them is None or not passed:
                        for label in seconds:
                            seconds[label] += 0.0
                        continue
                    iou = _iou(ours.boxes_T4, all_of_them.boxes_T4)
                    ious.append(iou)
                    frames += len(iou)
                    looked += ours.detections
                    least, most = f"{iou.min():.3f}", f"{np.mean(iou >= 0.9):.1%}"
                    rows.append([path.name, str(len(iou)), str(ours.detections), least, most])
    whole = np.concatenate(ious)
    rows.append(["all", str(frames), str(looked), f"{whole.min():.3f}", f"{np.mean(whole >= 0.9):.1%}"])
    ratio = seconds["every frame"] / seconds["ours"]
    note = (
        f"RetinaFace MobileNet-0.25 on the real clips, the spans that reach the stage (`every` and `recheck_iou` were chosen on them, too); IoU of our boxes with those of a detection on every "
        f"frame, kept tracks. CPU seconds of both over all spans: {seconds['ours']:.1f} and {seconds['every frame']:.1f}, **{ratio:.2f} times the "
        "frames per core-second** (target 4; IoU >= 0.9 on 95 % of the frames, >= 0.75 on all)."
    )
    return Section("Tracks", note, rows)


def _iou(one_T4: np.ndarray, other_T4: np.ndarray) -> np.ndarray:
    low, high = np.maximum(one_T4[:, :2], other_T4[:, :2]), np.minimum(one_T4[:, 2:], other_T4[:, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=1)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (one_T4, other_T4)]
    return np.asarray(both / (areas[0] + areas[1] - both))


def _resnet() -> Section:
    """Random weights: what they find is nonsense, but the same nonsense on both sides."""
    from retinaface.predict_single import Model

    torch.manual_seed(0)
    state = resnet50().state_dict()
    ours = RetinaFaceDetector("resnet50", state)
    theirs = Model(max_size=640)
    theirs.load_state_dict(state)
    theirs.eval()
    pictures = _pictures()
    threshold = _threshold(ours, pictures)
    mine = ours.detect(pictures, threshold, 0.4)
    loop = [theirs.predict_jsons(picture[..., ::-1].copy(), threshold, 0.4) for picture in pictures]
    apart = max(_apart(one.boxes_N4, other) for one, other in zip(mine, loop, strict=True))
    found = sum(len(one.boxes_N4) for one in mine)
    seconds = medians(
        [
            lambda: ours.detect(pictures, threshold, 0.4),
            lambda: [theirs.predict_jsons(picture[..., ::-1].copy(), threshold, 0.4) for picture in pictures],
        ],
        time.process_time,
        3,
    )
    rows = [
        ["", "CPU s a picture", "faster by", "target"],
        ["ours, batches of 2", f"{seconds[0] / PICTURES:.3f}", f"{seconds[1] / seconds[0]:.2f}", "1.3"],
        ["the package's predict, one by one", f"{seconds[1] / PICTURES:.3f}", "1", ""],
    ]
    note = (
        f"{PICTURES} pictures of 640x384, one thread, the same weights (random: the trained ones are not here); {found} boxes on both sides, "
        f"corners at most {apart:.2f} px apart (theirs are rounded to 0.01). No GPU was at hand."
    )
    return Section("RetinaFace ResNet-50", note, rows)


def _pictures() -> list[np.ndarray]:
    files = sorted((SHARED / "assets/video").glob("retalking*")) if (SHARED / "assets").is_dir() else []
    convert, found = FrameConverter(), []
    for path in files[:1]:
        with MediaFile(path, load_recipe().defaults.media) as media:
            for at in media.frames():
                if at.index % 5 == 0 and len(found) < PICTURES:
                    found.append(convert.array(at.frame, 640, 384, "bgr24"))
    draw = np.random.default_rng(0)
    while len(found) < PICTURES:
        found.append(draw.integers(0, 256, (384, 640, 3), np.uint8))
    return found


def _threshold(detector: RetinaFaceDetector, pictures: Sequence[np.ndarray]) -> float:
    """A score that a few dozen priors a picture exceed."""
    with torch.inference_mode():
        _, logits, _ = detector.model(detector._prepare(np.stack(pictures[:1])))
        scores = logits.softmax(-1)[0, :, 1].numpy().astype(float)
    return float(np.sort(scores)[-40:-38].mean())


def _apart(boxes_N4: np.ndarray, told: list[dict[str, list[float]]]) -> float:
    """Largest distance of a corner of ours to theirs; infinite where the boxes are not the same ones."""
    inside = np.array([one["bbox"] for one in told if one["bbox"]]).reshape(-1, 4)
    clipped = boxes_N4
    if not len(inside):
        return 0.0 if not len(boxes_N4) else float("inf")
    return float(max(np.abs(clipped - box).max(1).min() for box in inside))
