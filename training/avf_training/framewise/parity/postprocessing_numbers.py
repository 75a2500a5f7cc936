"""SUN's windows, alignment and post-processing of five made videos, beside what the authors' code computed."""

import json
from typing import Any

import numpy as np

from avf_training.conversion.parity import STORED_F32, ParityRow
from avf_training.evaluation.metrics import Floats
from avf_training.framewise.metrics import score_valence_arousal
from avf_training.framewise.parity.rows import OracleNumbers, Pair, compare_equal, compare_pairs
from avf_training.framewise.postprocessing import smoothing, timeline
from avf_training.framewise.sampling.alignment import align_labels
from avf_training.framewise.sampling.frame_rate import frame_step, reader_rows, rounded_frame_times
from avf_training.framewise.sampling.windows import evaluation_windows, extraction_windows, training_windows

TOLERANCE = 1e-10
VIDEOS = ("v2997", "v30gap", "v24", "v6", "short")
Equal = tuple[str, object, object]


def compare_postprocessing(file: str, oracle: OracleNumbers) -> list[ParityRow]:
    """Return rows and windows, which have to be equal, and predictions at every step of post-processing."""
    config = json.loads(str(oracle["meta.config"]))
    equal = [*_alignment(config), *_extraction_rows(oracle)]
    for video in VIDEOS:
        equal += _windows(oracle, config, video)
    steps: dict[str, list[Pair]] = {"averages": [], "100 fps": [], "at labels": [], "Hamming": []}
    for video in VIDEOS:
        if f"{video}.avg.timesteps" in oracle:
            for group, pairs in _postprocess(oracle, config[video], video).items():
                steps[group] += pairs
    steps["kernels"] = [
        (name, smoothing.hamming_kernel(int(name.removeprefix("hamming.kernel_"))), values)
        for name, values in oracle.items()
        if name.startswith("hamming.kernel_")
    ]
    steps["late fusion"] = _late_fusion(oracle, config)
    steps["extraction"] = _extraction(oracle)
    steps["development score"] = [_development_score(oracle, config)]
    rows = [compare_pairs(file, group, pairs, TOLERANCE) for group, pairs in steps.items() if group != "extraction"]
    # The predictions of the extraction went through a network in float32.
    rows.append(compare_pairs(file, "extraction", steps["extraction"], STORED_F32))
    return [compare_equal(file, "rows and windows", equal), *rows]


def _alignment(config: dict[str, Any]) -> list[Equal]:
    """Each video has five pictures at 25 fps, and 5, 3 or 8 labels."""
    name = "align (frames 5; labels 5,3,8)"
    frames = np.arange(1, 6)
    equal: list[Equal] = []
    for video, theirs in config[name].items():
        ours = align_labels(frames, frames / 25, len(theirs))
        pictures = [f"/r/{video}/{frames[row]:05d}.jpg" for row in ours.picture_rows]
        rows = zip(pictures, ours.frame_numbers.tolist(), ours.times_s.tolist(), strict=True)
        equal.append((f"{name}: {video}", [list(row) for row in rows], [row[:3] for row in theirs]))
    return equal


def _windows(oracle: OracleNumbers, config: dict[str, Any], video: str) -> list[Equal]:
    fps, numbers = config[video]["fps"], oracle[f"{video}.frame_num"]
    read = numbers[reader_rows(len(numbers), fps)]
    equal: list[Equal] = [
        (f"{video}: every", frame_step(fps), config[video]["every"]),
        (f"{video}.timestep", rounded_frame_times(numbers, fps).tolist(), oracle[f"{video}.timestep"].tolist()),
        (f"{video}.resampled_frame_num", read.tolist(), oracle[f"{video}.resampled_frame_num"].tolist()),
    ]
    for length in (10, 20, 30):
        windows = evaluation_windows(read, length, last="overwrite")
        name = f"eval_windows.{video}.W{length}.frame_num"
        equal.append((name, np.where(windows >= 0, read[windows], 0).tolist(), oracle[name].tolist()))
    for length in (10, 20):
        name = f"train_windows_W{length}"
        theirs = [
            row.tolist()
            for row, of in zip(oracle[f"{name}.frame_num"], config[f"{name}.video"], strict=True)
            if of == video
        ]
        equal.append((f"{name}: {video}", read[training_windows(read, length, last="never")].tolist(), theirs))
    return equal


def _postprocess(oracle: OracleNumbers, config: dict[str, Any], video: str) -> dict[str, list[Pair]]:
    """Each step is given the authors' result of the step before."""
    windows, predictions = oracle[f"{video}.win.timesteps"], oracle[f"{video}.win.predictions"]
    average = timeline.average_same_times(windows.reshape(-1), predictions.reshape(-1, 2))
    grid = timeline.interpolate_to_grid(oracle[f"{video}.avg.timesteps"], oracle[f"{video}.avg.predictions"])
    on_grid = oracle[f"{video}.interp100.timesteps"], oracle[f"{video}.interp100.predictions"]
    at_labels = timeline.grid_at_labels(*on_grid, oracle[f"{video}.timestep"])
    result: dict[str, list[Pair]] = {"Hamming": []}
    for group, step, ours in (
        ("averages", "avg", average),
        ("100 fps", "interp100", grid),
        ("at labels", "sync", at_labels),
    ):
        result[group] = [
            (name, values, oracle[name])
            for name, values in zip((f"{video}.{step}.timesteps", f"{video}.{step}.predictions"), ours, strict=True)
        ]
    sizes = {
        "dev": smoothing.authors_hamming_size(smoothing.fps_of_rounded_times(oracle[f"{video}.timestep"])),
        "test": smoothing.authors_hamming_size(config["fps"]),
    }
    for name, size in sizes.items():
        smoothed = smoothing.smooth_hamming(oracle[f"{video}.sync.predictions"], size, edges="zero")
        result["Hamming"].append((f"{video}.hamming.{name}", smoothed, oracle[f"{video}.hamming.{name}"]))
        result["Hamming"].append((f"{video}: size, {name}", size, config[f"hamming_size_{name}"]))
    return result


def _late_fusion(oracle: OracleNumbers, config: dict[str, Any]) -> list[Pair]:
    pairs: list[Pair] = []
    for name in ("late.20", "late.1"):
        starts, ends = (np.asarray(config[name][key], np.float64) for key in ("timestep_start", "timestep_end"))
        predictions = oracle["late.20.predicts"] if name == "late.20" else np.asarray(config[name]["predicts"])[:, None]
        times, values = timeline.spread_over_windows(starts, ends, predictions)
        pairs += [
            (f"{name}.timesteps", times, oracle[f"{name}.timesteps"]),
            (f"{name}.predictions", values, oracle[f"{name}.predictions"]),
        ]
    return pairs


def _extraction_windows(oracle: OracleNumbers) -> list[Any]:
    return extraction_windows(len(oracle["v2997.frame_num"]), 29.97, 30)


def _extraction_rows(oracle: OracleNumbers) -> list[Equal]:
    return [
        (
            name,
            [oracle[f"v2997.{source}"][rows].tolist() for rows in _extraction_windows(oracle)],
            oracle[name].tolist(),
        )
        for source, name in (
            ("frame_num", "test_extraction.v2997.frame_num"),
            ("timestep", "test_extraction.v2997.timesteps"),
        )
    ]


def _extraction(oracle: OracleNumbers) -> list[Pair]:
    """The network of the file is tanh of the sums of the first two features, from the start of the window on."""
    features = oracle["test_extraction.v2997.embeddings"][:, :2]
    ours = np.stack([np.tanh(np.cumsum(features[rows].astype(np.float64), 0)) for rows in _extraction_windows(oracle)])
    return [("test_extraction.v2997.preds", ours, oracle["test_extraction.v2997.preds"])]


def _development_score(oracle: OracleNumbers, config: dict[str, Any]) -> Pair:
    name = "evaluate_predictions_on_dev_set_full_fps VA (v2997,v30gap,v24)"
    truth: list[Floats] = []
    predicted: list[Floats] = []
    for video in ("v2997", "v30gap", "v24"):
        scored = len(oracle[f"{video}.hamming.dev"])
        truth.append(np.stack([oracle[f"{video}.{label}"][:scored] for label in ("valence", "arousal")], 1))
        predicted.append(oracle[f"{video}.hamming.dev"])
    score = score_valence_arousal(np.concatenate(truth), np.concatenate(predicted))
    return name, np.array([score.valence.value, score.arousal.value], np.float64), config[name]
