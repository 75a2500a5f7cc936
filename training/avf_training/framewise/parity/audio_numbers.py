"""SUN's segments of sound and its rule of an open mouth, beside what the authors' code computed and published."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from avf_training.conversion.parity import ParityRow
from avf_training.framewise.metrics import MISSING_CLASS, MISSING_VALENCE_AROUSAL
from avf_training.framewise.parity.rows import OracleNumbers, Pair, compare_equal, compare_pairs
from avf_training.framewise.rounding import round_half_away
from avf_training.framewise.sampling import mouth, voice_segments

TOLERANCE = 1e-12
TRACKS = ("a30", "a2997", "a2398", "a20")


def compare_audio(file: str, oracle: OracleNumbers) -> list[ParityRow]:
    """Return the segments of training and extraction with their labels, label positions, and the mouth."""
    config = json.loads(str(oracle["meta.config"]))
    segments: list[Pair] = []
    for track in TRACKS:
        for kind in ("train_va", "train_expr", "train_multi", "extract_va"):
            segments += _segments(oracle, config[track]["fps"], track, kind)
    equal: list[tuple[str, object, object]] = [
        (
            f"downsample index {fps}fps",
            voice_segments.label_positions(fps).tolist(),
            config[f"downsample index {fps}fps"],
        )
        for fps in (30, 24)
    ]
    equal += [
        (f"round {value}", round_half_away(float(value)), theirs) for value, theirs in config["round_math"].items()
    ]
    equal += [
        (f"mouth.{lip}", list(getattr(mouth.FACE_MESH_LIPS, lip)), config[f"mouth.{lip}"]) for lip in ("upper", "lower")
    ]
    equal += [
        (name, mouth.open_mouth(oracle[name.replace(".open", ".area")]).astype(int).tolist(), oracle[name].tolist())
        for name in oracle
        if name.startswith("mouth.") and name.endswith(".open")
    ]
    landmarks = oracle["mouth.landmarks_478x3"].astype(np.float64)[None]
    area: Pair = ("mouth.area", mouth.mouth_area(landmarks, mouth.FACE_MESH_LIPS)[0], config["mouth.area"])
    return [
        compare_pairs(file, "segments", segments, TOLERANCE),
        compare_pairs(file, "mouth area", [area], TOLERANCE),
        compare_equal(file, "positions, rounding, open mouths", equal),
    ]


def _segments(oracle: OracleNumbers, fps: float, track: str, kind: str) -> list[Pair]:
    affect, expressions = oracle[f"{track}.va"], oracle[f"{track}.expr"]
    has_affect, has_expression = (affect != MISSING_VALENCE_AROUSAL).all(1), expressions != MISSING_CLASS
    open_N = oracle[f"{track}.mouth_open"] == 1
    if kind == "extract_va":
        segments = voice_segments.extraction_segments(len(affect), fps, clock="rounded_fps")
    else:
        valid = {"train_va": has_affect, "train_expr": has_expression, "train_multi": has_affect & has_expression}[kind]
        segments = voice_segments.training_segments(open_N, valid, fps, clock="rounded_fps")
    # A set that is not of the task is filled with the mark of a missing label in the authors' code.
    steps, seconds = (len(segments), 20, 2), (len(segments), 4)
    values: dict[str, Any] = {
        "start_f": [segment.first_frame for segment in segments],
        "end_f": [segment.end_frame for segment in segments],
        "start_t": [segment.start_s for segment in segments],
        "end_t": [segment.end_s for segment in segments],
        "va": np.full(steps, MISSING_VALENCE_AROUSAL) if kind == "train_expr" else _labels(affect, segments),
        "expr": np.full(seconds, MISSING_CLASS)
        if kind in ("train_va", "extract_va")
        else [voice_segments.expression_labels(expressions, segment) for segment in segments],
    }
    if kind == "extract_va":
        values["mo"] = _labels(open_N, segments)
    return [(f"{track}.{kind}.{name}", ours, oracle[f"{track}.{kind}.{name}"]) for name, ours in values.items()]


def _labels(labels: np.ndarray[Any, Any], segments: Sequence[voice_segments.VoiceSegment]) -> list[Any]:
    return [labels[segment.label_rows] for segment in segments]
