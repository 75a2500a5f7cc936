"""The expert's answers: for each clip those of the fold whose model has never seen it, checked against what it learned.

A run of `avf-train finetune` freezes the clips that it trains on and tests (run.json), writes its answers for the
tested ones (predictions/PROTOCOL.json), and lists what its model learned from (learned.parquet). An answer counts only
where all three agree.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.settings.config import bind
from avf_shards.text import count_noun

from avf_training.config.finetune import SelectionProtocol, identity_of_run
from avf_training.evaluation.results import PREDICTIONS, read_predictions
from avf_training.evaluation.scoring import Predictions
from avf_training.finetuning.finetune import best_folder
from avf_training.tasks.catalog import Dataset
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.learned_clips import LEARNED, LearnedClips, read_learned
from avf_training.tasks.relations import ClipIdentity, identify_clip
from avf_training.trainer.run_folder import RESULT, RUN

log = logging.getLogger(__name__)
_FOLD_FOLDER = re.compile(r"fold-([0-9]{1,9})")  # in the folder of `finetune --fold all`
_STUDY_RUNS = Path("runs/finetune")  # in the folder of a study


@dataclass(frozen=True, kw_only=True)
class ExpertAnswer:
    """The answer of a model for a clip that it has never seen."""

    fold: int  # number of the fold that tests the clip
    truth: int  # index of the clip's class
    scores: tuple[float, ...]  # probability of each class
    run: Path  # folder of the run of that fold


@dataclass(frozen=True, kw_only=True)
class ExpertAnswers:
    """The answers for the clips of a data set, each from the fold that tests the clip."""

    data: Dataset  # whose labels are asked for
    of_clip: Mapping[str, ExpertAnswer]  # key -> answer
    without_answer: int  # clips that the runs train on and none of them answers for


def list_fold_runs(paths: Sequence[Path], dataset: str | None) -> list[Path]:
    """Return the finished fine-tuning runs in folders.

    Args:
        paths: runs, folders of `finetune --fold all`, and folders of studies.
        dataset: name of the data set whose runs are taken; None: all.

    Raises:
        UserError: A folder holds no run, a run is not finished, or no run is of the data set.
    """
    runs = [run for path in paths for run in _runs_in(path)]
    if dataset is not None:
        names = {run: str(identity_of_run(run)["data"]["name"]) for run in runs}
        runs = [run for run in runs if names[run] == dataset]
        if not runs:
            raise UserError(f"--dataset {dataset}: no run is of it; they are of {', '.join(sorted({*names.values()}))}")
    for run in runs:
        if not (run / RESULT).is_file():
            raise UserError(f"{run}: is not finished (no {RESULT}); run the command that trains it again")
    return runs


def _runs_in(path: Path) -> list[Path]:
    if (path / RUN).is_file():
        return [path]
    children = sorted(path.iterdir()) if path.is_dir() else []
    folds = {int(name[1]): child for child in children if (name := _FOLD_FOLDER.fullmatch(child.name))}
    if folds:
        return [folds[number] for number in sorted(folds)]
    study = path / _STUDY_RUNS
    runs = sorted(child for child in study.iterdir() if (child / RUN).is_file()) if study.is_dir() else []
    if not runs:
        raise UserError(
            f"{path}: holds no run; name a run of avf-train finetune, the folder of `--fold all`, or a study's folder"
        )
    return runs


def read_expert_answers(runs: Sequence[Path], shards: LabelledShards, protocol: SelectionProtocol) -> ExpertAnswers:
    """Return the answer for each clip that the runs test.

    Args:
        protocol: by which the epoch of each run was selected.

    Raises:
        UserError: The runs are of several data sets, or two test one clip; an answer is of another fold, or of a model
            that has learned from the clip; a clip is not in the shards.
    """
    identities = [identity_of_run(run) for run in runs]
    data = _common_dataset(runs, identities)
    clip_of = {clip.key: clip for clip in shards.clips() if clip.source == data.source}
    of_clip: dict[str, ExpertAnswer] = {}
    run_of: dict[str, Path] = {}
    trained: set[str] = set()
    for run, values in zip(runs, identities, strict=True):
        predictions = _own_predictions(run, values, protocol)
        missing = next((key for key in (*values["test"], *values["train"]) if key not in clip_of), None)
        if missing is not None:
            raise UserError(f"{run}: its clip {missing} is not in these shards; name those that it was trained on")
        identity_of = {
            key: identify_clip(clip_of[key], data.same_recordings_as)
            for key in (*values["test"], *values["train"], *values["validation"])
            if key in clip_of
        }
        _refuse_learned(run, values, protocol, identity_of)
        fold = int(str(values["task"]).rpartition("_")[2])
        for row, key in enumerate(predictions.keys):
            if key in of_clip:
                raise UserError(
                    f"{run}: tests {key}, as {run_of[key]} does; name the runs of a single row and seed, each once"
                )
            scores = tuple(float(score) for score in predictions.scores_NJ[row])
            of_clip[key] = ExpertAnswer(fold=fold, truth=int(predictions.truth[row]), scores=scores, run=run)
            run_of[key] = run
        trained |= {*values["train"], *values["validation"]}
    lacking = len(trained - of_clip.keys())
    if lacking:
        log.warning("%s: no run has an answer for them, so they get no prompt", count_noun(lacking, "clip"))
    return ExpertAnswers(data=data, of_clip=dict(sorted(of_clip.items())), without_answer=lacking)


def _common_dataset(runs: Sequence[Path], identities: Sequence[Mapping[str, Any]]) -> Dataset:
    """Return the data set of all runs. Raises UserError where they have several, or one without classes of clips."""
    names = sorted({str(values["data"]["name"]) for values in identities})
    if len(names) > 1:
        raise UserError(f"the runs are of {', '.join(names)}; choose with --dataset")
    different = next((i for i, values in enumerate(identities) if values["data"] != identities[0]["data"]), None)
    if different is not None:
        raise UserError(f"{runs[different]}: its data set {names[0]} has other settings than that of {runs[0]}")
    data = bind(Dataset, identities[0]["data"])
    if data.task == "dimensions":
        raise UserError(f"{data.name}: has dimensions and no classes, which an answer in words cannot be scored by")
    if data.averaged_over != "clip":
        raise UserError(f"{data.name}: its predictions are averaged over sessions, so no clip has an answer of its own")
    return data


def _own_predictions(run: Path, values: Mapping[str, Any], protocol: SelectionProtocol) -> Predictions:
    """Return the predictions of a run for exactly the clips that it tests. Raises UserError for others."""
    path = run / PREDICTIONS / f"{protocol}.json"
    predictions = read_predictions(path)
    truth_of = dict(zip(values["test"], values["truth"], strict=True))
    for key, truth in zip(predictions.keys, predictions.truth, strict=True):
        if key not in truth_of:
            use = "trains on" if key in {*values["train"], *values["validation"]} else "does not know"
            raise UserError(
                f"{path}: has an answer for {key}, which {values['task']} {use}; is it the file of another fold?"
            )
        if truth != truth_of[key]:
            raise UserError(f"{path}: says that {key} is of class {truth:g}, and {run / RUN} of {truth_of[key]}")
    unanswered = sorted(truth_of.keys() - {*predictions.keys, *predictions.unreadable})
    if unanswered:
        raise UserError(f"{path}: has no answer for {unanswered[0]}, which {values['task']} tests")
    return predictions


def _refuse_learned(
    run: Path, values: Mapping[str, Any], protocol: SelectionProtocol, identity_of: Mapping[str, ClipIdentity]
) -> None:
    """Raise UserError where the model has learned from a clip that it answers for.

    As in training, a person or film that the fold itself has in both parts, as its owners allow it, counts for nothing.
    """
    tested = set(values["test"])
    in_both = sorted(tested & {*values["train"], *values["validation"]})
    if in_both:
        raise UserError(
            f"{run}: trains on {in_both[0]} and tests it, so its answer is not that of a model that never saw it"
        )
    lists = (best_folder(run, protocol) / LEARNED, run / LEARNED)
    present = [path for path in lists if path.is_file()]
    if not present:
        raise UserError(f"{run}: has no {LEARNED}, so what its model has learned from is not known")
    own = [identity_of[key] for key in (*values["train"], *values["validation"]) if key in identity_of]
    ignored = LearnedClips.with_labels(own).labelled
    for path in present:
        learned = read_learned(path)
        strange = next((clip.key for clip in own if learned.labelled_share(clip) is None), None)
        if strange is not None:
            raise UserError(f"{path}: does not have {strange}, which {values['task']} trains on; is it of another run?")
        for key in sorted(tested):
            relation = learned.labelled_share(identity_of[key], ignored=ignored)
            if relation is not None:
                clip = key if relation == "clip" else f"the {relation} of {key}"
                raise UserError(
                    f"{path}: the model has learned from {clip}, which {values['task']} tests; the answer for a clip "
                    "must come from the fold that never saw it"
                )
