"""Predictions of a finished run for every person with tracks, written as prediction tracks.

Shapes: N frames, O outputs.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from avf_shards.errors import FaultError, UserError

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.labels.trained_videos import TrainedVideos, bind_trained_videos
from avf_training.framewise.predictions.likelihoods import limit_outputs
from avf_training.framewise.predictions.prediction_set import refuse_other_model
from avf_training.framewise.tracks.errors import OtherTrackError
from avf_training.framewise.tracks.extractor import digest_weights
from avf_training.framewise.tracks.feature_track import FeatureTrack, write_track
from avf_training.framewise.tracks.identity import ExtractorIdentity, TrackSubject
from avf_training.framewise.tracks.track_folder import TrackFolder, is_written
from avf_training.framewise.training.frame_network import KIND, FrameModelSpec, load_frame_network
from avf_training.framewise.training.frame_prediction import Output, predict_frames, read_layer, read_outputs
from avf_training.framewise.training.frame_result import read_result
from avf_training.framewise.training.frame_scores import describe_nonfinite
from avf_training.framewise.training.frame_selection import WHOLE
from avf_training.framewise.training.joined_tracks import JoinedTracks, JoinedTracksReader
from avf_training.framewise.training.kernel_machine import load_kernel_machine
from avf_training.models.precision import use_single_precision
from avf_training.models.saved_config import CONFIG, read_saved_config
from avf_training.trainer.run_folder import RESULT

log = logging.getLogger(__name__)
Predict = Callable[[JoinedTracks], Floats]


@dataclass(frozen=True, kw_only=True)
class RunPredictor:
    """The selected model, or models, of a run."""

    spec: FrameModelSpec
    identity: ExtractorIdentity  # of the prediction tracks
    predict: Predict  # from the tracks of a person to (N, O)
    trained: TrainedVideos | None = None  # None: the run is of an earlier version and does not say


@dataclass(kw_only=True)
class PredictionReport:
    """What became of each person with tracks."""

    written: int = 0  # tracks
    skipped: int = 0  # that stood there already
    frames: int = 0  # predicted
    faults: list[str] = field(default_factory=list)  # a sentence for each person without predictions


def load_predictor(run: Path, name: str, device: str = "cpu", *, layer: str | None = None) -> RunPredictor:
    """Return the model that a finished run selected.

    Raises UserError where the run is not finished, or its model is gone.

    Args:
        run: folder of the run.
        name: of the predictions.
        device: to compute on.
        layer: `score`, `valence` or `arousal`: what the last layer of this best epoch says, in place of predictions.
    """
    use_single_precision()  # predictions are those of a CPU, but for the order of sums
    result = read_result(run)
    if layer is not None and layer not in result["best"]:
        raise UserError(f"--layer {layer}: the run has the best epochs {', '.join(result['best'])}")
    names = [layer or WHOLE] if layer or result["select"] == "mean" else ["valence", "arousal"]
    folders = [run / result["best"][each]["folder"] for each in names if each in result["best"]]
    if len(folders) < len(names) or not all(folder.is_dir() for folder in folders):
        raise UserError(f"{run}: lacks the model of its best epoch, {', '.join(names)}; train it in a new folder")
    for folder in folders:
        _check_same_run(run, result, folder)
    digests = [digest_weights(folder) for folder in folders]
    settings: dict[str, str | int | float | bool] = {
        "task": result["task"],
        "model": result["model"],
        "select": "+".join(names),
        "protocol": json.dumps([[row["option"], row.get("value")] for row in result["differences"]]),
    }
    if layer is not None:
        settings = {key: value for key, value in settings.items() if key != "task"} | {"layer": "last"}
    weights = digests[0] if len(digests) == 1 else sha256("\n".join(digests).encode()).hexdigest()
    identity = ExtractorIdentity.from_settings(name, settings, weights)
    trained = None
    if "trained_videos" in result:
        trained = bind_trained_videos(result["trained_videos"], f"{run / RESULT}: trained_videos")
    if result["model"] == "kernel_elm":
        if layer is not None:
            raise UserError("--layer: a kernel machine has no layers")
        machine = load_kernel_machine(folders[0])
        return RunPredictor(spec=machine.spec, identity=identity, predict=machine.predict, trained=trained)
    output: Output = read_outputs if layer is None else read_layer
    models = [load_frame_network(folder).to(device) for folder in folders]

    def predict(tracks: JoinedTracks) -> Floats:
        predictions = [predict_frames(model, tracks, output) for model in models]
        if len(predictions) == 1:
            return predictions[0]
        return np.stack([predictions[0][:, 0], predictions[1][:, 1]], 1)  # valence of the one, arousal of the other

    return RunPredictor(spec=models[0].spec, identity=identity, predict=predict, trained=trained)


def _check_same_run(run: Path, result: Mapping[str, Any], folder: Path) -> None:
    """Refuse a model of another task or network than the result says, as of a file that was copied from another run."""
    values = read_saved_config(folder)
    if values["kind"] != KIND:
        return  # whoever loads it says what it is
    spec = FrameModelSpec.from_json(values["model"], f"{folder}/{CONFIG}: model")
    for name, value in (("task", spec.task.name), ("model", spec.recipe.model)):
        if result[name] != value:
            raise UserError(
                f"{run / RESULT}: says {name} {result[name]}, and the model in {folder} has {name} {value}; one of "
                "both is of another run: put it back, or train again"
            )


class TrackPrediction:
    """One run's predictions into a folder."""

    def __init__(self, predictor: RunPredictor, tracks: Path, out: Path) -> None:
        """Read nothing yet."""
        spec = predictor.spec
        self._predictor, self._folder = predictor, TrackFolder(out)
        self._reader = JoinedTracksReader(tracks, spec.recipe.visual, spec.recipe.audio, spec.identities)
        self._reader.widths = dict(zip(spec.recipe.extractors, spec.widths, strict=True))
        self.report = PredictionReport()

    def run(self, on_subject: Callable[[TrackSubject], Any]) -> PredictionReport:
        """Predict for every person with tracks; what cannot be read, or is of something else, is a fault of the report.

        What the model was trained on is written beside the predictions. Raises OtherTrackError, before anything is
        written, where predictions of another model have this name.
        """
        refuse_other_model(self._folder.folder, self._predictor.identity)
        for subject in self._reader.subjects(self.report.faults):
            on_subject(subject)
            try:
                tracks = self._reader.read(subject)
            except (UserError, FaultError) as error:
                self.report.faults.append(str(error))
                continue
            try:
                if not self._stands(tracks):
                    self._write(tracks)
            except OtherTrackError as error:
                self.report.faults.append(str(error))
        if self.report.written or self.report.skipped:
            self._write_trained()
        return self.report

    def _write_trained(self) -> None:
        trained = self._predictor.trained
        if trained is not None:
            trained.write(self._folder.folder_of(self._predictor.identity.name))
        else:
            log.warning(
                "the run is of an earlier version and does not say which videos it was trained on, so its predictions "
                "do not either; scores of them go by the sets and folds that labels and plans name"
            )

    def _stands(self, tracks: JoinedTracks) -> bool:
        path = self._folder.path(self._predictor.identity.name, tracks.subject)

        def refusal(track: FeatureTrack) -> str:
            rates = f"of {track.fps:g} frames a second, and now {tracks.fps:g}; " if track.fps != tracks.fps else ""
            return (
                f"{path}: was predicted from other tracks of {tracks.subject} ({rates}they were extracted again "
                "since); remove it, or name another folder with --out or another name with --name"
            )

        identity = self._predictor.identity
        if not is_written(path, tracks.subject, identity, inputs_sha256=tracks.inputs_sha256, refusal=refusal):
            return False
        self.report.skipped += 1
        return True

    def _write(self, tracks: JoinedTracks) -> None:
        predicted_NO = self._predictor.predict(tracks)
        if diverged := describe_nonfinite(predicted_NO):
            self.report.faults.append(
                f"{tracks.subject}: {diverged}; the training of the model diverged, or its tracks hold huge values: "
                "train again with a lower rate, or look at the tracks"
            )
            return
        has_task = "task" in json.loads(self._predictor.identity.settings)  # a layer's output has none, and no limits
        vectors_NO = limit_outputs(self._predictor.spec.task, predicted_NO) if has_task else predicted_NO
        track = FeatureTrack(
            subject=tracks.subject,
            extractor=self._predictor.identity,
            fps=tracks.fps,
            inputs_sha256=tracks.inputs_sha256,
            frames_N=tracks.frames_N,
            times_s_N=tracks.times_s_N,
            vectors_ND=vectors_NO.astype(np.float32),
        )
        try:
            write_track(self._folder.path(self._predictor.identity.name, tracks.subject), track)
        except OtherTrackError:
            if self._stands(tracks):  # another process was faster
                return
            raise
        self.report.written += 1
        self.report.frames += len(tracks.frames_N)
