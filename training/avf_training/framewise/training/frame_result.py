"""RUN/result.json of a sequence model: scores, what was left out, and which protocol ran."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.schema.fields import Fields
from avf_shards.schema.versions import stamp
from avf_shards.system import durable_io

from avf_training.framewise.json_records import add_remedy, read_json_record
from avf_training.framewise.labels.trained_videos import TrainedVideos, bind_trained_videos, renew_record
from avf_training.framewise.protocol import ProtocolOptions, list_differences, list_used_options, part_of_model
from avf_training.framewise.training.frame_network import FrameModelSpec
from avf_training.framewise.training.frame_scores import NONFINITE
from avf_training.framewise.training.frame_selection import WHOLE, FrameSelection
from avf_training.framewise.training.labelled_videos import LabelledVideo, LabelledVideos
from avf_training.framewise.training.validation import ValidationCounts
from avf_training.trainer.run_folder import MODEL, RESULT

DIVERGED_REMEDY = "take a lower rate or a smaller clip_norm, in another folder"
_REMEDY = "name a run of train-frames; where it is one, remove this file and train again, which writes it anew"


def describe_run(
    spec: FrameModelSpec, videos: LabelledVideos, counts: ValidationCounts, selection: FrameSelection
) -> dict[str, Any]:
    """Return what a finished run says of itself; some epoch of it has a score, or it was trained on all videos."""
    rows = selection.rows()
    if spec.recipe.train_on == "all" and rows:
        last, metric = rows[-1], selection.names[WHOLE]
        entry = {"metric": metric, "score": last[metric], "step": last["step"], "folder": MODEL}
        return common_result(spec, videos, counts) | {"best": {WHOLE: entry}}
    best = {}
    for name, metric in selection.names.items():
        chosen = selection.best(rows, name)
        if chosen is not None:
            step, score = chosen
            folder = selection.folder(name, step)
            best[name] = {
                "metric": metric,
                "score": score,
                "step": step,
                "folder": f"{folder.parent.name}/{folder.name}",
            }
    return common_result(spec, videos, counts) | {"best": best}


def refuse_missing_score(out: Path, spec: FrameModelSpec, reason: str) -> None:
    """Refuse a run none of whose epochs has a validation score, unless it was trained on all videos and takes the last.

    Raises UserError, which says whether its training has diverged, or what is wrong with the labels.

    Args:
        out: folder of the run.
        spec: of its model.
        reason: why the last weights have no score.
    """
    if reason.startswith(NONFINITE):
        raise UserError(
            f"{out}: no epoch has a validation score: {reason}, so the training has diverged; {DIVERGED_REMEDY}"
        )
    if spec.recipe.train_on != "all":
        raise UserError(f"{out}: no epoch has a validation score: {reason or 'it is undefined'}")


def common_result(spec: FrameModelSpec, videos: LabelledVideos, counts: ValidationCounts) -> dict[str, Any]:
    """Return what the results of all models have."""
    return {
        "task": spec.task.name,
        "model": spec.recipe.model,
        "select": "apart" if spec.selects_apart else "mean",
        "extractors": list(spec.recipe.extractors),
        "protocol": spec.recipe.protocol,
        "differences": describe_protocol(spec.recipe.options, spec.recipe.model, spec.task.name),
        "training": _describe_set(videos.training),
        "validation": {**_describe_set(videos.validation), **asdict(counts)},
        "skipped": list(videos.skipped),
        "absent_classes": list(videos.absent),
        "tracks_without_labels": list(videos.unlabelled),
        "trained_on": spec.recipe.train_on,
        "trained_videos": videos.trained.to_json(),
    }


def describe_protocol(options: ProtocolOptions, model: str, task: str) -> list[dict[str, Any]]:
    """Return a row for each of the 32 differences of papers and code: its value, whose it is, and whether it acts."""
    part = part_of_model(model)
    used = [] if part is None else list_used_options(part, task)
    return [
        {
            "number": line.source.number,
            "item": line.source.item,
            "option": line.option,
            "value": line.value,
            "chosen": line.chosen,
            "used": line.option in used,
        }
        for line in list_differences(options)
    ]


def write_result(out: Path, result: dict[str, Any]) -> Path:
    """Write RUN/result.json, and return its path."""
    text = json.dumps(stamp(result, "frame result"), indent=1, sort_keys=True) + "\n"
    durable_io.replace_file(out / RESULT, text.encode())
    return out / RESULT


def renew_trained(run: Path, trained: TrainedVideos) -> Path:
    """Write into RUN/result.json of a finished run which videos more it counts as trained on; return its path.

    Args:
        run: folder of the run.
        trained: what it learned, with what the models behind its tracks say by now.
    """
    result, path = read_result(run), run / RESULT
    known = result.get("trained_videos")
    before = None if known is None else bind_trained_videos(known, f"{path}: trained_videos")
    renewed = renew_record(before, trained, path)
    if renewed != before:
        write_result(run, result | {"trained_videos": renewed.to_json()})
    return path


def read_result(run: Path) -> dict[str, Any]:
    """Return the result of a finished run, whose model and best epochs are named.

    Raises UserError where the folder holds none, or one that is damaged or of another command.
    """
    path = run / RESULT
    if not path.is_file():
        raise UserError(f"{run}: is no finished run of `avf-train train-frames` (no {RESULT})")
    result = read_json_record(path, "frame result", _REMEDY)
    with add_remedy(path, _REMEDY):
        _check_result(Fields.from_value(result, str(path)))
    return result


def _check_result(fields: Fields) -> None:
    for name in ("task", "model", "select", "protocol"):
        fields.text(name)
    for row in fields.items("differences"):
        Fields.from_value(row, f"{fields.where}: differences").text("option")
    best = fields.table("best")
    best.table(WHOLE)
    for name in best.values:
        entry = best.table(name)
        entry.text("metric")
        entry.text("folder")
        entry.optional_number("score")
    for name in ("absent_classes", "skipped", "tracks_without_labels"):
        if name in fields.values:  # results of earlier versions lack some
            fields.text_list(name)
    if "validation" in fields.values:
        counts = fields.table("validation")
        for name in ("repeated", "left_out"):
            if name in counts.values:
                counts.integer(name)


def _describe_set(videos: Sequence[LabelledVideo]) -> dict[str, int]:
    valid = sum(int(each.labels.is_valid.sum()) for each in videos)
    return {"videos": len(videos), "valid_frames": valid}
