"""Functionals of windows of two seconds and a kernel extreme learning machine: fitted at once, without the loop.

Shapes: N rows of a video, K windows of all videos, F functionals of all features, T targets, O outputs.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from avf_shards.errors import UserError
from avf_shards.schema.versions import stamp
from avf_shards.system import durable_io

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.ensemble.kernel_elm import (
    ElmSettings,
    Kernel,
    KernelElm,
    Real,
    fit_kernel_elm,
    one_hot,
    predict_kernel_elm,
)
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.metrics import MISSING_CLASS, MISSING_VALENCE_AROUSAL
from avf_training.framewise.postprocessing.timeline import interpolate_to_times
from avf_training.framewise.sampling.functionals import (
    FunctionalWindows,
    frequent_label_of_windows,
    functional_frames,
    mean_label_of_windows,
    window_functionals,
)
from avf_training.framewise.sampling.normalization import FeatureScale
from avf_training.framewise.sampling.stretches import split_at_steps
from avf_training.framewise.training.frame_network import KIND, FrameModelSpec
from avf_training.framewise.training.frame_result import common_result, write_result
from avf_training.framewise.training.frame_scores import explain_undefined, score_frames
from avf_training.framewise.training.frame_selection import WHOLE
from avf_training.framewise.training.joined_tracks import JoinedTracks, StoredVectors, label_rows
from avf_training.framewise.training.labelled_videos import LabelledVideo, LabelledVideos
from avf_training.framewise.training.validation import (
    count_frames_to_score,
    join_scored,
    predict_scored_frames,
)
from avf_training.framewise.training.window_data import RowsOfVideo, fit_scales, scale_streams
from avf_training.models.pretrained import load_model_folder, save_model_folder
from avf_training.trainer.run_folder import MODEL

log = logging.getLogger(__name__)
_SINGLE_ABOVE = 5_000  # windows above which the kernel matrix is in single precision
_LEAST_PROBABILITY = 1e-3  # an action unit's logit is finite
_KERNELS: tuple[Kernel, ...] = ("rbf", "linear")


@dataclass(frozen=True, kw_only=True)
class KernelModel:
    """A fitted machine with what it reads."""

    spec: FrameModelSpec
    machine: KernelElm
    scales: tuple[FeatureScale, ...]

    def predict(self, tracks: JoinedTracks) -> Floats:
        """Return a prediction for each frame: that of its window's middle, linear in between, (N, O)."""
        windows = _functionals_of(tracks.streams, tracks.fps, tracks.frames_N, self.spec, self.scales)
        rows_KF = windows.values_KF.astype(self.machine.rows_LD.dtype)
        predicted_KO = predict_kernel_elm(self.machine, rows_KF).astype(np.float64)
        # Windows are counted in frames; the middle of a window is when its middle frame is shown.
        offsets_N = tracks.frames_N - tracks.frames_N[0]
        middle_s_K = np.interp(windows.middle_s_K * tracks.fps - 0.5, offsets_N, tracks.times_s_N)
        outputs_KO = _to_outputs(self.spec.task, predicted_KO)
        # No line is drawn through a gap that is longer than a window.
        frames = functional_frames(tracks.fps, self.spec.recipe.options.functional_window_s)
        parts = []
        for each in split_at_steps(tracks.frames_N, frames):
            own_K = (windows.starts_K >= each.start) & (windows.starts_K < each.stop)
            parts.append(interpolate_to_times(middle_s_K[own_K], outputs_KO[own_K], tracks.times_s_N[each]))
        return np.concatenate(parts)

    def save(self, folder: Path) -> None:
        """Write the machine into a new folder."""
        machine = self.machine
        tensors = {
            "rows": torch.from_numpy(np.ascontiguousarray(machine.rows_LD)),
            "beta": torch.from_numpy(np.ascontiguousarray(machine.beta_LT)),
            "gamma": torch.tensor(machine.gamma, dtype=torch.float64),
            "kernel": torch.tensor(_KERNELS.index(machine.kernel)),
            "exact": torch.tensor(machine.exact),
        }
        for number, scale in enumerate(self.scales):
            tensors[f"offset_{number}"] = torch.from_numpy(scale.offset_D)
            tensors[f"scale_{number}"] = torch.from_numpy(scale.width_D)
        save_model_folder(folder, stamp({"kind": KIND, "model": self.spec.to_json()}, "saved model"), tensors)


def load_kernel_machine(folder: Path) -> KernelModel:
    """Return the machine in a folder. Raises UserError, FaultError."""
    values, tensors = load_model_folder(folder)
    spec = FrameModelSpec.from_json(values["model"], f"{folder}/config.json: model")
    names = {"rows", "beta", "gamma", "kernel", "exact"}
    names |= {f"{part}_{number}" for part in ("offset", "scale") for number in range(len(spec.widths))}
    if names != tensors.keys():
        raise UserError(f"{folder}: is no kernel machine: {', '.join(sorted(names ^ tensors.keys()))} are wrong")
    scales = tuple(
        FeatureScale(offset_D=tensors[f"offset_{number}"].numpy(), width_D=tensors[f"scale_{number}"].numpy())
        for number in range(len(spec.widths))
    )
    machine = KernelElm(
        kernel=_KERNELS[int(tensors["kernel"]) % len(_KERNELS)],
        gamma=float(tensors["gamma"]),
        rows_LD=tensors["rows"].numpy(),
        beta_LT=tensors["beta"].numpy(),
        exact=bool(tensors["exact"]),
    )
    return KernelModel(spec=spec, machine=machine, scales=scales)


def train_kernel_machine(spec: FrameModelSpec, videos: LabelledVideos, out: Path) -> Path:
    """Fit a machine for each kernel and C, keep the one that scores best in validation, and return RUN/result.json.

    Raises UserError where no window of training has a label, or no machine has a score.
    """
    scales = fit_scales([_all_rows(each) for each in videos.training], spec.recipe)
    features_KF, targets_KT = _training_windows(spec, videos.training, scales)
    counts = count_frames_to_score(videos.validation)
    counts.warn()
    tried: list[dict[str, str | float]] = []
    best: tuple[float, KernelModel | None] = (-np.inf, None)
    reason = "none could be fitted"
    for kernel in spec.recipe.elm.kernels:
        for penalty in sorted(spec.recipe.elm.penalties):
            settings = ElmSettings(
                penalty=penalty,
                kernel=kernel,
                exact_rows=spec.recipe.elm.exact_rows,
                landmarks=spec.recipe.elm.landmarks,
            )
            try:
                machine = fit_kernel_elm(features_KF, targets_KT, settings)
            except UserError as error:  # a singular matrix: another C is fine
                log.warning("%s, C %g: %s", kernel, penalty, error)
                reason = str(error)
                continue
            model = KernelModel(spec=spec, machine=machine, scales=scales)
            scored = join_scored([predict_scored_frames(each, model.predict) for each in videos.validation])
            scores = score_frames(spec.task, scored.truth_NK, scored.predicted_NO)
            tried.append({"kernel": kernel, "penalty": penalty, **scores})
            score = scores[spec.task.metric]
            log.info("%s, C %g: %s %.4f", kernel, penalty, spec.task.metric, score)
            reason = explain_undefined(spec.task, scored.truth_NK, scored.predicted_NO) or reason
            if score > best[0]:
                best = (score, model)
    if best[1] is None:
        raise UserError(f"{out}: no kernel machine has a validation score: {reason}")
    durable_io.remove(out / MODEL)
    best[1].save(out / MODEL)
    chosen = {WHOLE: {"metric": spec.task.metric, "score": best[0], "step": 0, "folder": MODEL}}
    machine = best[1].machine
    about = {"windows": len(features_KF), "kernel": machine.kernel, "exact": machine.exact, "tried": tried}
    return write_result(out, common_result(spec, videos, counts) | {"best": chosen, "elm": about})


def _all_rows(video: LabelledVideo) -> RowsOfVideo:
    joined = label_rows(video.tracks, video.labels)
    return RowsOfVideo(
        labels=video.labels,
        streams=video.tracks.streams,
        rows_N=joined.rows_R,
        frames_N=joined.frames_R,
        values_NK=joined.values_RK,
    )


def _functionals_of(
    streams: Sequence[StoredVectors],
    fps: float,
    frames_N: npt.NDArray[np.int64],
    spec: FrameModelSpec,
    scales: Sequence[FeatureScale],
) -> FunctionalWindows:
    """Return functionals of each window of a video."""
    options = spec.recipe.options
    scaled = [stream_ND[:] for stream_ND in scale_streams(streams, spec.recipe, scales)]
    features_ND = np.concatenate(scaled, 1).astype(np.float64)
    return window_functionals(
        features_ND,
        fps,
        functionals=spec.recipe.elm.functionals,
        window_s=options.functional_window_s,
        frame_numbers_N=frames_N,
    )


def _training_windows(
    spec: FrameModelSpec, videos: Sequence[LabelledVideo], scales: Sequence[FeatureScale]
) -> tuple[Real, Floats]:
    features, targets = [], []
    for video in videos:
        rows = _all_rows(video)
        streams = [stream[rows.rows_N] for stream in rows.streams]
        windows = _functionals_of(streams, video.tracks.fps, rows.frames_N, spec, scales)
        target_KT, known_K = _targets(spec.task, rows.values_NK, windows.starts_K)
        features.append(windows.values_KF[known_K])
        targets.append(target_KT[known_K])
    features_KF, targets_KT = np.concatenate(features), np.concatenate(targets)
    if not len(features_KF):
        raise UserError("no window of the training videos has a valid label")
    if len(features_KF) > _SINGLE_ABOVE:
        return features_KF.astype(np.float32), targets_KT
    return features_KF, targets_KT


def _targets(
    task: FrameLabelTask, values_NK: npt.NDArray[np.float32], starts_K: npt.NDArray[np.int64]
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the target of each window, (K, T), and which windows have one."""
    if task.name == "expr":
        labels_N = np.where(np.isnan(values_NK[:, 0]), MISSING_CLASS, values_NK[:, 0]).astype(np.int64)
        label_K = frequent_label_of_windows(labels_N, starts_K)
        return one_hot(np.maximum(label_K, 0), task.outputs), label_K != MISSING_CLASS
    labels_NK = np.where(np.isnan(values_NK), MISSING_VALENCE_AROUSAL, values_NK).astype(np.float64)
    means_KT = mean_label_of_windows(labels_NK, starts_K)
    return means_KT, np.asarray(np.isfinite(means_KT).all(1))


def _to_outputs(task: FrameLabelTask, said_KT: Floats) -> Floats:
    """Return what a prediction track has: values in -1..1, or logits. One-hot scores count as logits as they are."""
    if task.name == "va":
        return said_KT.clip(-1, 1)
    if task.name == "au":
        on_KT = said_KT.clip(_LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
        return cast(Floats, np.log(on_KT / (1 - on_KT)))
    return said_KT
