"""Correctness of the frame-level commands on a device: their losses, features and predictions beside the CPU's, and resuming."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from avf_training.framewise.tracks.extraction import TrackExtraction
from avf_training.framewise.tracks.feature_track import read_track
from avf_training.framewise.tracks.loading import load_extractor
from avf_training.framewise.tracks.picture_folders import picture_inputs
from avf_training.framewise.tracks.track_folder import TrackFolder
from avf_training.framewise.training.predict_tracks import TrackPrediction, load_predictor
from avf_training.trainer.checkpoint import Checkpoints

from benchmarks.gpu.frame_runs import (
    FrameCorpora,
    Run,
    finetuning_run,
    frames_run,
    list_checkpoints,
    pretraining_run,
    rewind,
    without_dropout,
    write_frame_corpora,
)
from benchmarks.gpu.nano_runs import failure_row, read_losses
from benchmarks.gpu.parity import relative_error
from benchmarks.gpu.results import PASSED, Row
from benchmarks.gpu.settings import Settings

_TOLERANCE = 2e-3  # relative, of a step's loss: fp32 with other orders of summation, over a few updates
_BF16_TOLERANCE = 0.02  # of a run in bf16 beside one in fp32
_TRACK_TOLERANCE = 1e-3  # of features and predictions, by the norm of the difference: by weights of one training
_FUSION = ("visual=[looks,more_looks]", "audio=[sounds]", "window=50", "hidden=[16,16,8]", "schedule=constant")
_CROSSED = ("visual=[looks,more_looks]", "audio=[sounds]", "schedule=constant")
_STATIC = ("static.size_px=32", "static.layer_rates=false", "static.gradual_unfreezing=false", "optim.base_lr=1e-5")


def run(settings: Settings) -> Iterator[tuple[str, Row]]:
    """Run every command on the CPU and on the device, then extract and predict on both, then resume across them."""
    torch.backends.cudnn.allow_tf32 = True  # as a process starts; the commands switch it off
    with tempfile.TemporaryDirectory() as name, without_dropout():
        folder = Path(name)
        corpora = write_frame_corpora(folder / "corpora", 48)
        start = folder / "cpu-pretrain-images"
        runs = _list_runs(corpora, start, settings)
        for label in runs:
            yield (
                "Runs on the device and on the CPU",
                _attempt({"run": label}, partial(_run_row, folder, label, runs[label], settings)),
            )
        yield from _track_rows(folder, corpora, settings)
        for label in ("pretrain-images", "finetune-images va", "train-frames temporal_v3 va"):
            if label in runs:
                yield (
                    "Resuming: CPU, device, CPU",
                    _attempt({"run": label}, partial(_resume_row, folder, label, runs[label][0], settings)),
                )


def _list_runs(corpora: FrameCorpora, start: Path, settings: Settings) -> dict[str, tuple[Run, float, str]]:
    """Return each run with the tolerance of its losses, and the run on the CPU that it is compared with."""
    steps = 6 if settings.tiny else 12
    mae = pretraining_run(corpora, steps)
    bf16 = pretraining_run(corpora, steps, "workers=2", "precision.compute=bf16")
    runs: dict[str, tuple[Run, float, str]] = {"pretrain-images": (mae, _TOLERANCE, "")}
    if not settings.tiny:
        runs["pretrain-images bf16, 2 workers"] = (bf16, _BF16_TOLERANCE, "pretrain-images")
    for task in ("va",) if settings.tiny else ("va", "expr", "au"):
        runs[f"finetune-images {task}"] = (_late(corpora, task, start), _TOLERANCE, "")
    if not settings.tiny:
        runs["finetune-images efficientnet_b1 expr"] = (
            finetuning_run(corpora, "expr", None, *_STATIC, "epochs=1"),
            _TOLERANCE,
            "",
        )
    models: list[tuple[str, str, tuple[str, ...]]] = [
        ("temporal_v3", "va", ()),
        ("temporal_v4", "va", ()),
        ("temporal_v5", "expr", ()),
        ("fusion_transformer", "au", _FUSION),
        ("cross_attention", "va", _CROSSED),
    ]
    for model, task, more in models[:1] if settings.tiny else models:
        runs[f"train-frames {model} {task}"] = (frames_run(corpora, task, model, *more), _TOLERANCE, "")
    return runs


def _late(corpora: FrameCorpora, task: str, start: Path) -> Run:
    """Return a run that starts from a model which is not there yet."""
    return lambda out, device: finetuning_run(corpora, task, start)(out, device)


def _attempt(label: Row, make: Callable[[], Row]) -> Row:
    try:
        return {**label, **make()}
    except Exception as error:  # any end of a run is a result, and the other runs still count
        return failure_row(label, error)


def _out(folder: Path, device: str, label: str) -> Path:
    return folder / f"{device}-{label.replace(' ', '-').replace(',', '')}"


def _run_row(folder: Path, label: str, planned: tuple[Run, float, str], settings: Settings) -> Row:
    """Run on the CPU, unless another run there is named, then on the device, and compare the losses."""
    command, tolerance, on_cpu = planned
    if not on_cpu:
        command(_out(folder, "cpu", label), "cpu")
    out, start_s = _out(folder, "device", label), time.perf_counter()
    command(out, settings.device)
    seconds = time.perf_counter() - start_s
    losses, expected = read_losses(out), read_losses(_out(folder, "cpu", on_cpu or label))
    gap = max(abs(loss / other - 1) for loss, other in zip(losses, expected, strict=True))
    return {
        "steps": len(losses),
        "s on the device": seconds,
        "first loss": losses[0],
        "last loss": losses[-1],
        "losses differ from the CPU's by": gap,
        "at most": tolerance,
        PASSED: gap <= tolerance,
    }


def _track_rows(folder: Path, corpora: FrameCorpora, settings: Settings) -> Iterator[tuple[str, Row]]:
    """Extract and predict with models that were trained on the CPU, on both devices."""
    extractors = {"vit": "finetune-images va", "efficientnet_b1": "finetune-images efficientnet_b1 expr"}
    for name, label in extractors.items():
        model = _out(folder, "cpu", label)
        if model.is_dir():
            row: Row = {"command": "extract", "model": label}
            yield "Tracks", _attempt(row, partial(_extraction_row, folder, name, model, corpora, settings))
    for model in sorted(folder.glob("cpu-train-frames-*")):
        row = {"command": "predict-frames", "model": model.name.removeprefix("cpu-").replace("-", " ")}
        yield "Tracks", _attempt(row, partial(_prediction_row, folder, model, corpora, settings))


def _extraction_row(folder: Path, name: str, model: Path, corpora: FrameCorpora, settings: Settings) -> Row:
    outs = []
    for side, device in (("cpu", "cpu"), ("device", settings.device)):
        outs.append(folder / f"tracks-{name}-{side}")
        extraction = TrackExtraction(load_extractor(name, model, device), outs[-1])
        report = extraction.run(picture_inputs(corpora.folders, "drawn", lambda _: 25.0, _refuse), lambda *_: None)
        if report.faults:
            raise ValueError(report.faults[0])
    return _compare_tracks(*outs)


def _prediction_row(folder: Path, run_folder: Path, corpora: FrameCorpora, settings: Settings) -> Row:
    outs = []
    for side, device in (("cpu", "cpu"), ("device", settings.device)):
        outs.append(folder / f"predictions-{run_folder.name}-{side}")
        predictor = load_predictor(run_folder, "drawn", device)
        report = TrackPrediction(predictor, corpora.tracks, outs[-1]).run(lambda _: None)
        if report.faults:
            raise ValueError(report.faults[0])
    return _compare_tracks(*outs)


def _refuse(fault: str) -> None:
    raise ValueError(fault)


def _compare_tracks(on_cpu: Path, on_device: Path) -> Row:
    """Compare two folders of tracks of the same people."""
    tracks = [[read_track(file) for file in sorted(TrackFolder(each).files())] for each in (on_cpu, on_device)]
    frames = all(
        first.frames_N.tolist() == second.frames_N.tolist() for first, second in zip(tracks[0], tracks[1], strict=True)
    )
    vectors = [torch.cat([torch.tensor(each.vectors_ND).double() for each in side]) for side in tracks]
    error = relative_error(vectors[1], vectors[0])
    return {
        "tracks": len(tracks[0]),
        "frames": len(vectors[0]),
        "same frames": frames,
        "vectors differ from the CPU's by": error,
        "at most": _TRACK_TOLERANCE,
        PASSED: frames and error <= _TRACK_TOLERANCE,
    }


def _resume_row(folder: Path, label: str, command: Run, settings: Settings) -> Row:
    """Take the CPU's run back to a third of its checkpoints, go on with the device, and from two thirds on the CPU.

    Other pictures or windows would move a loss by percents, so equal losses show that the order is the same.
    """
    whole, mixed = _out(folder, "cpu", label), _out(folder, "mixed", label)
    shutil.copytree(whole, mixed)
    steps = list_checkpoints(mixed)
    first, second = steps[len(steps) // 3 - 1 if len(steps) > 2 else 0], steps[2 * len(steps) // 3 - 1]
    rewind(mixed, first, steps)
    command(mixed, settings.device)
    rewind(mixed, second, steps)
    command(mixed, "cpu")
    losses, expected = read_losses(mixed), read_losses(whole)
    gap = max(abs(loss / other - 1) for loss, other in zip(losses, expected, strict=True))
    ends = [Checkpoints(each, 10, 0).newest() for each in (whole, mixed)]
    streams = [None if end is None else end.state.get("stream") for end in ends]
    return {
        "steps": len(losses),
        "on the device from step": first,
        "to step": second,
        "losses differ from the run on the CPU by": gap,
        "at most": _TOLERANCE,
        "same position in the same order at the end": streams[0] == streams[1],
        PASSED: gap <= _TOLERANCE and streams[0] == streams[1],
    }
