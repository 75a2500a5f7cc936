"""Compare the track stage with detection on every frame, and our batched ResNet-50 with the package's loop over images."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from avf_curation.detectors.detector_set import Detectors, resolve_backends
from avf_curation.detectors.retinaface import RetinaFaceDetector
from avf_curation.detectors.retinaface_network import resnet50
from avf_curation.detectors.weights import pull_weights
from avf_curation.media.decode import MediaFile
from avf_curation.media.frame_converter import FrameConverter
from avf_curation.media.types import Bytes
from avf_curation.pipeline import refining
from avf_curation.pipeline.video import screen_video
from avf_curation.recipe import load_recipe
from avf_curation.sources.types import Video
from avf_curation.stages import tracking
from avf_curation.stages.candidate import Candidate

from benchmarks.table import SHARED, Section, medians

IMAGES = 8


def run() -> list[Section]:
    return [_resnet(), _tracks()]


def _tracks() -> Section:
    """Compare the boxes of every kept track of the real clips with those of a detection on every frame."""
    if not (SHARED / "assets").is_dir():
        return Section("Tracks", "Not measured: the real clips are not here.", [["", ""]])
    recipe = load_recipe()
    settings = recipe.defaults
    every = replace(settings.track, every=1)
    seconds, frames, detections = {"ours": 0.0, "every frame": 0.0}, 0, 0
    ious: list[np.ndarray] = []
    rows = [["clip", "frames", "detections", "smallest IoU", "IoU >= 0.9"]]
    with tempfile.TemporaryDirectory() as name:
        weights = Path(name)
        pull_weights("retinaface_mobilenet", weights, SHARED / "assets/weights/retinaface_mobilenet0.25_Final.pth")
        detectors = Detectors(resolve_backends(recipe, weights))
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
            screened = screen_video(video, path.parent, settings, detectors)
            if screened.video_track is None:
                continue
            with MediaFile(path, settings.media) as media:
                media.resume(screened.video_track, screened.start_s)
                for part in screened.parts:
                    if not isinstance(part, Candidate):
                        continue
                    detector_frames = refining.decode_for_detector(media, part.span, settings.track.side_px, detectors)
                    tracks = {}
                    for label, config in (("ours", settings.track), ("every frame", every)):
                        refining.track_faces(
                            detector_frames, detectors, config
                        )  # prepares the priors and kernels for this size
                        start = time.process_time()
                        (tracks[label], *_) = refining.track_faces(detector_frames, detectors, config)
                        seconds[label] += time.process_time() - start
                    ours, reference = tracks["ours"], tracks["every frame"]
                    passed = all(check.passed is not False for check in tracking.decide(ours, settings.track))
                    if ours is None or reference is None or not passed:
                        continue
                    iou = _iou(ours.boxes_T4, reference.boxes_T4)
                    ious.append(iou)
                    frames += len(iou)
                    detections += ours.detections
                    smallest, share = f"{iou.min():.3f}", f"{np.mean(iou >= 0.9):.1%}"
                    rows.append([path.name, str(len(iou)), str(ours.detections), smallest, share])
    all_ious = np.concatenate(ious)
    rows.append(["all", str(frames), str(detections), f"{all_ious.min():.3f}", f"{np.mean(all_ious >= 0.9):.1%}"])
    ratio = seconds["every frame"] / seconds["ours"]
    note = (
        f"RetinaFace MobileNet-0.25 on the real clips, the spans that reach the stage (`every` and `recheck_iou` were chosen on them, too); IoU of our boxes with those of a detection on every "
        f"frame, kept tracks. CPU seconds of both over all spans: {seconds['ours']:.1f} and {seconds['every frame']:.1f}, **{ratio:.2f} times the "
        "frames per core-second** (target 4; IoU >= 0.9 on 95 % of the frames, >= 0.75 on all)."
    )
    return Section("Tracks", note, rows)


def _iou(boxes_T4: np.ndarray, reference_T4: np.ndarray) -> np.ndarray:
    low, high = np.maximum(boxes_T4[:, :2], reference_T4[:, :2]), np.minimum(boxes_T4[:, 2:], reference_T4[:, 2:])
    intersection = np.prod(np.maximum(high - low, 0), axis=1)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (boxes_T4, reference_T4)]
    return np.asarray(intersection / (areas[0] + areas[1] - intersection))


def _resnet() -> Section:
    """Compare our detector with the package's. The weights are random, so the boxes are meaningless but equal on both sides."""
    from retinaface.predict_single import Model

    torch.manual_seed(0)
    state = resnet50().state_dict()
    ours = RetinaFaceDetector("resnet50", state)
    theirs = Model(max_size=640)
    theirs.load_state_dict(state)
    theirs.eval()
    images = _images()
    threshold = _threshold(ours, images)
    our_boxes = ours.detect(images, threshold, 0.4)
    loop = [theirs.predict_jsons(image[..., ::-1].copy(), threshold, 0.4) for image in images]
    distance = max(
        _largest_distance(boxes.boxes_N4, predictions) for boxes, predictions in zip(our_boxes, loop, strict=True)
    )
    box_count = sum(len(boxes.boxes_N4) for boxes in our_boxes)
    seconds = medians(
        [
            lambda: ours.detect(images, threshold, 0.4),
            lambda: [theirs.predict_jsons(image[..., ::-1].copy(), threshold, 0.4) for image in images],
        ],
        time.process_time,
        3,
    )
    rows = [
        ["", "CPU s an image", "faster by", "target"],
        ["ours, batches of 2", f"{seconds[0] / IMAGES:.3f}", f"{seconds[1] / seconds[0]:.2f}", "1.3"],
        ["the package's predict, one by one", f"{seconds[1] / IMAGES:.3f}", "1", ""],
    ]
    note = (
        f"{IMAGES} images of 640x384, one thread, the same weights (random: the trained ones are not part of the project); {box_count} boxes on both sides, "
        f"corners at most {distance:.2f} px apart (theirs are rounded to 0.01). No GPU was measured."
    )
    return Section("RetinaFace ResNet-50", note, rows)


def _images() -> list[Bytes]:
    files = sorted((SHARED / "assets/video").glob("retalking*")) if (SHARED / "assets").is_dir() else []
    convert, images = FrameConverter(), list[Bytes]()
    for path in files[:1]:
        with MediaFile(path, load_recipe().defaults.media) as media:
            for item in media.frames():
                if item.index % 5 == 0 and len(images) < IMAGES:
                    images.append(convert.array(item.frame, 640, 384, "bgr24"))
    draw = np.random.default_rng(0)
    while len(images) < IMAGES:
        images.append(draw.integers(0, 256, (384, 640, 3), np.uint8))
    return images


def _threshold(detector: RetinaFaceDetector, images: Sequence[Bytes]) -> float:
    """Return a score that a few dozen priors of an image exceed."""
    with torch.inference_mode():
        _, logits, _ = detector.model(detector._prepare(np.stack(images[:1])))
        scores = logits.softmax(-1)[0, :, 1].numpy().astype(float)
    return float(np.sort(scores)[-40:-38].mean())


def _largest_distance(boxes_N4: np.ndarray, predictions: list[dict[str, list[float]]]) -> float:
    """Return the largest distance in pixels between a predicted corner and the nearest of our boxes; infinite if only we have boxes."""
    predicted = np.array([prediction["bbox"] for prediction in predictions if prediction["bbox"]]).reshape(-1, 4)
    if not len(predicted):
        return 0.0 if not len(boxes_N4) else float("inf")
    return float(max(np.abs(boxes_N4 - box).max(1).min() for box in predicted))
