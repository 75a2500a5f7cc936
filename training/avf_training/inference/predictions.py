"""Predictions of a fine-tuned model for each person of a video over time: one for every window of every clip."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from avf_shards.errors import UserError
from avf_shards.schema.clip_record import ClipRecord

from avf_training.data.storage import StorageConfig
from avf_training.data.window_length import HOP_S, check_hop
from avf_training.inference.clip_input import open_clips
from avf_training.inference.feature_model import FeatureModel, OnClip, ignore_clip, read_clips
from avf_training.inference.people import number_people
from avf_training.inference.person_prediction import PersonPrediction, WindowPrediction
from avf_training.inference.video_clock import VideoClock
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.trainer.saved_model import list_models, require_fine_tuned

log = logging.getLogger(__name__)


def predict(
    path: Path | str, model: Path | str | Sequence[Path | str], hop_s: float = HOP_S, device: str = "cpu"
) -> list[PersonPrediction]:
    """Return the predictions of a fine-tuned model, or the mean of several, for every person by video and person.

    Raises UserError for a pre-trained model, which has not learned to predict, and for videos without a face, and
    FaultError for damaged clips.

    Args:
        path: a video, a folder of videos, the output of `avf-curate clip`, or shards.
        model: a saved model, a finished run, a folder of the runs of folds, or several of these.
        hop_s: seconds between the starts of two windows.
    """
    models = load_fine_tuned([model] if isinstance(model, Path | str) else model, device)  # before clips are cut
    check_hop(hop_s)
    with open_clips(path) as shards:
        return predict_shards(shards, models, hop_s, videos=path)


def load_fine_tuned(models: Sequence[Path | str], device: str) -> dict[str, FeatureModel]:
    """Return saved models that can predict by their paths, each fold of a folder of folds as one.

    Raises UserError for a pre-trained model, and for models whose means would be of different things.
    """
    paths = list_models([Path(model) for model in models])
    for path in paths:
        require_fine_tuned(path)
    loaded = {str(path): FeatureModel(path, device) for path in paths}
    (first, model), *others = loaded.items()
    for name, other in others:
        for what, of_first, of_other in (
            ("outputs", _outputs(model), _outputs(other)),
            # Labels of another scale under the same names; without a range (activation none) the scale is not known.
            ("ranges of values", *_ranges(model, other)),
            ("frames of a window", model.config.geometry.frames, other.config.geometry.frames),
        ):
            if of_first != of_other:
                raise UserError(
                    f"{name}: has other {what} than {first} ({of_other}, not {of_first}); "
                    "only models of the same can be averaged"
                )
    return loaded


def _outputs(model: FeatureModel) -> tuple[str, ...]:
    return _names(model) if model.is_classifier else tuple(f"dimension {name}" for name in _names(model))


def _ranges(*models: FeatureModel) -> list[tuple[float, float] | None]:
    """Return the range of each model's dimensions; None for all where one does not know its own."""
    ranges = [model.model.output_spec.value_range for model in models]
    return ranges if all(ranges) else [None] * len(ranges)


def _names(model: FeatureModel) -> tuple[str, ...]:
    return model.names or tuple(f"class {n}" for n in range(model.model.outputs))


def predict_shards(
    shards: str,
    models: Mapping[str, FeatureModel],
    hop_s: float,
    on_clip: OnClip = ignore_clip,
    *,
    videos: Path | str | None = None,
) -> list[PersonPrediction]:
    """Return the predictions for every person in the clips of a folder of shards.

    The scores of a window are the mean of those of all models.

    Args:
        models: of `load_fine_tuned`; detectors pool windows as the first of them says.
        videos: the input that the clips are of, whose files tell when their first picture is shown; None: at 0.
        on_clip: called before each clip with its video, its number from 1, and the number of clips.
    """
    first, *_ = models.values()
    names = _names(first)
    windows_of: dict[tuple[str, str, int], list[WindowPrediction]] = {}
    path_of: dict[tuple[str, str], str] = {}
    forged_of: dict[tuple[str, str, int], list[tuple[float, float]] | None] = {}
    clips = LabelledShards([shards], StorageConfig())
    person_of, clock = number_people(clips), VideoClock(videos)
    for number, (record, files) in enumerate(read_clips(clips), 1):
        on_clip(record.video_id, number, len(clips))
        path_of[record.source, record.video_id] = record.path
        person = record.source, record.video_id, person_of[record.key]
        windows = windows_of.setdefault(person, [])
        start_s = clock.clip_start_s(record)
        forged = forged_seconds(record, start_s)
        known = forged_of.setdefault(person, [])
        forged_of[person] = None if forged is None or known is None else [*known, *forged]
        windows += _average_models(
            [_predict_clip(record.key, model, start_s, files, hop_s) for model in models.values()]
        )
    log.info("%s: %d timelines, a window every %g s", shards, len(windows_of), hop_s)
    return [
        PersonPrediction(
            source=source,
            video_id=video_id,
            path=path_of[source, video_id],
            person=person,
            names=names,
            classes=first.is_classifier,
            windows=tuple(sorted(windows, key=lambda window: window.start_s)),
            models=tuple(models) if len(models) > 1 else (),
            pool=first.model.output_spec.pool,
            forged_s=None if (forged := forged_of[source, video_id, person]) is None else tuple(forged),
        )
        for (source, video_id, person), windows in sorted(windows_of.items())
    ]


def forged_seconds(record: ClipRecord, clip_start_s: float) -> list[tuple[float, float]] | None:
    """Return the forged stretches of a clip in seconds of its file; None where its record does not say.

    Args:
        clip_start_s: of the clip in its file.
    """
    forgery = record.labels.forgery if record.labels else None
    if forgery is None:
        return None
    if forgery.is_fake and forgery.segments is None:  # the times are not published: from start to end
        return [(clip_start_s, clip_start_s + record.span.seconds)]
    return [(clip_start_s + each.start_s, clip_start_s + each.stop_s) for each in forgery.segments or ()]


def _predict_clip(
    key: str, model: FeatureModel, clip_start_s: float, files: dict[str, bytes], hop_s: float
) -> list[WindowPrediction]:
    """Return the predictions of one model for the windows of a clip."""
    windows = []
    for start_s, stop_s, features in model.features_over_time(clip_start_s, files, hop_s):
        assert features.scores is not None
        scores = tuple(features.scores.cpu().tolist())
        windows.append(WindowPrediction(key=key, start_s=start_s, stop_s=stop_s, scores=scores))
    return windows


def _average_models(windows_of_models: Sequence[Sequence[WindowPrediction]]) -> list[WindowPrediction]:
    """Return the windows with the mean of the scores of all models; those of a single model as they are."""
    if len(windows_of_models) == 1:
        return list(windows_of_models[0])
    averaged = []
    for windows in zip(*windows_of_models, strict=True):
        each = tuple(window.scores for window in windows)
        mean = tuple(float(score) for score in np.mean(each, 0))
        averaged.append(replace(windows[0], scores=mean, each_model=each))
    return averaged
