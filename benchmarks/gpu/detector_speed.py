"""RetinaFace and SyncNet on a device beside the CPU: equal answers, and frames a second."""

import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from avf_curation.detectors.retinaface import (
    Architecture,
    RetinaFaceDetections,
    RetinaFaceDetector,
)
from avf_curation.detectors.retinaface_network import mobilenet, resnet50
from avf_curation.detectors.syncnet import SyncNetScorer, formula_weights
from avf_curation.media.types import Bytes
from torch import Tensor, nn

from benchmarks.gpu.dropout import freeze_batch_norms
from benchmarks.gpu.frame_runs import draw_picture
from benchmarks.gpu.nano_runs import failure_row
from benchmarks.gpu.results import PASSED, Row
from benchmarks.gpu.settings import Settings

_HEIGHT, _WIDTH = 360, 640  # of a frame as tracking detects in it: side_px 640, 16:9
_NMS_IOU = 0.4
_FACES = (8, 40)  # of all frames compared: the threshold is put into the widest gap of scores between these ranks
_BOX_PX, _SCORE = 0.5, 1e-3  # largest differences of a box and of its score
_DISTANCE = 1e-3  # largest relative difference of SyncNet's distances


def run(settings: Settings) -> Iterator[tuple[str, Row]]:
    """Compare and time both networks of RetinaFace, then SyncNet, with weights that were drawn."""
    architectures: tuple[Architecture, ...] = ("mobilenet",) if settings.tiny else ("mobilenet", "resnet50")
    for architecture in architectures:
        yield "RetinaFace", _attempt({"network": architecture}, partial(_face_row, architecture, settings))
    yield "SyncNet", _attempt({"network": "SyncNet"}, partial(_sync_row, settings))


def _attempt(label: Row, make: Callable[[], Row]) -> Row:
    try:
        return {**label, **make()}
    except Exception as error:  # a detector that fails is a result, and the others still count
        return failure_row(label, error)


def _face_row(architecture: Architecture, settings: Settings) -> Row:
    weights = _draw_weights(mobilenet() if architecture == "mobilenet" else resnet50())
    on_cpu, on_device = (RetinaFaceDetector(architecture, weights, device) for device in ("cpu", settings.device))
    compared = _frames(2 if settings.tiny else 8)
    threshold = _choose_threshold(on_cpu, compared)
    expected = on_cpu.detect(compared, threshold, _NMS_IOU)
    torch.backends.cudnn.allow_tf32 = False
    row = _compare_faces(expected, on_device.detect(compared, threshold, _NMS_IOU))
    torch.backends.cudnn.allow_tf32 = True  # torch's default, in which curation runs
    rounded = _compare_faces(expected, on_device.detect(compared, threshold, _NMS_IOU))
    many = _frames(2 if settings.tiny else 16 if architecture == "resnet50" else 64)
    rates = [
        _rate(partial(each.detect, many, threshold, _NMS_IOU), len(many), settings, rounds)
        for each, rounds in ((on_cpu, 1), (on_device, 5))
    ]
    return {
        "frame": f"{_WIDTH} x {_HEIGHT}",
        "frames of a batch": on_device._batch_size,
        **row,
        "boxes with TF32 differ by px": rounded["boxes differ by px"],
        "same number with TF32": rounded["same number in each frame"],
        "frames/s on the CPU": rates[0],
        "frames/s on the device": rates[1],
        "ratio": rates[1] / rates[0],
    }


def _draw_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return random weights whose features neither vanish nor grow: batch norms have the moments of two frames."""
    torch.manual_seed(0)
    model.train()
    frames_BCHW = torch.from_numpy(np.stack(_frames(2))).permute(0, 3, 1, 2).float()
    freeze_batch_norms(model, [frames_BCHW[..., :352, :] / 64 - 2])
    return model.eval().state_dict()


def _frames(count: int) -> list[Bytes]:
    """Return frames of eight discs each."""
    frames = []
    for number in range(count):
        tiles = [draw_picture(8 * (number % 16) + tile, _WIDTH // 4) for tile in range(12)]
        rows = [np.concatenate(tiles[first : first + 4], 1) for first in (0, 4, 8)]
        frames.append(np.ascontiguousarray(np.concatenate(rows)[:_HEIGHT]))
    return frames


def _choose_threshold(detector: RetinaFaceDetector, frames: list[Bytes]) -> float:
    """Return the smallest score of a face: in the widest gap of scores, so that rounding moves no face across it."""
    scores = np.concatenate([each.scores_N for each in detector.detect(frames, 0.0, _NMS_IOU)])
    best = np.sort(scores)[::-1][_FACES[0] : _FACES[1]]
    widest = int((best[:-1] - best[1:]).argmax())
    return float(best[widest] + best[widest + 1]) / 2


def _compare_faces(expected: list[RetinaFaceDetections], detected: list[RetinaFaceDetections]) -> Row:
    """Match each face of the CPU with the nearest of the device."""
    box_px = score = 0.0
    counts = [[len(each.boxes_N4) for each in side] for side in (expected, detected)]
    for first, second in zip(expected, detected, strict=True):
        for box, value in zip(first.boxes_N4, first.scores_N, strict=True):
            if not len(second.boxes_N4):
                break
            distances = np.abs(second.boxes_N4 - box).max(1)
            nearest = int(distances.argmin())
            box_px = max(box_px, float(distances[nearest]))
            score = max(score, abs(float(second.scores_N[nearest]) - float(value)))
    return {
        "faces": sum(counts[0]),
        "same number in each frame": counts[0] == counts[1],
        "boxes differ by px": box_px,
        "px at most": _BOX_PX,
        "scores differ by": score,
        "at most": _SCORE,
        PASSED: counts[0] == counts[1] and sum(counts[0]) > 0 and box_px <= _BOX_PX and score <= _SCORE,
    }


def _rate(work: Callable[[], object], frames: int, settings: Settings, rounds: int) -> float:
    """Return frames a second, the answers on the host included; the first round is not timed."""
    times = []
    for _ in range(1 + rounds):
        start_s = time.perf_counter()
        work()
        if settings.device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start_s)
    return frames / min(times[1:])


def _sync_row(settings: Settings) -> Row:
    weights = formula_weights()
    count = 36 if settings.tiny else 100  # frames; four seconds
    random = np.random.default_rng(0)
    frames = [draw_picture(number, 224) for number in range(count)]
    samples = (8000 * random.standard_normal(640 * count)).clip(-30000, 30000).astype(np.int16)
    scorers = [SyncNetScorer(weights, device) for device in ("cpu", settings.device)]
    torch.backends.cudnn.allow_tf32 = False
    first, second = (scorer.score(frames, samples) for scorer in scorers)
    torch.backends.cudnn.allow_tf32 = True
    rounded = scorers[1].score(frames, samples)
    known = np.isfinite(first.distances_S)
    gap, gap_tf32 = (
        float(np.abs(each.distances_S[known] / first.distances_S[known] - 1).max()) for each in (second, rounded)
    )
    rates = [
        _rate(partial(each.score, frames, samples), count, settings, rounds)
        for each, rounds in zip(scorers, (1, 5), strict=True)
    ]
    return {
        "lip windows": first.windows,
        "lip windows of a batch": 8,
        "offset, CPU": first.offset,
        "offset, device": second.offset,
        "distances differ by": gap,
        "at most": _DISTANCE,
        "with TF32 by": gap_tf32,
        "confidence, CPU": first.confidence,
        "confidence, device": second.confidence,
        "frames/s on the CPU": rates[0],
        "frames/s on the device": rates[1],
        "ratio": rates[1] / rates[0],
        PASSED: gap <= _DISTANCE and first.offset == second.offset,
    }
