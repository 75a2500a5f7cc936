"""A review in Label Studio: tasks and labeling interface for its import, and answers from its JSON export.

Formats: https://labelstud.io/guide/task_format and https://labelstud.io/tags/choices.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.system import durable_io
from avf_shards.system.storage_faults import read_text
from avf_shards.text import load_json

from avf_curation.audit.agreement import answers_as_json
from avf_curation.audit.review import ANSWERS, check_verdicts
from avf_curation.reports.output_folder import fill_new_folder

TASKS, LABELING_CONFIG = "label_studio_tasks.json", "label_studio_config.xml"
IDENTITY = ("fingerprint", "inputs_sha256", "n", "seed")
_DATA_TYPES = {
    "avf_id": str,
    "avf_span": str,
    "avf_fingerprint": str,
    "avf_inputs_sha256": str,
    "avf_n": int,
    "avf_seed": int,
}
_LOCAL_FILES = "/data/local-files/?d="  # Label Studio serves files below its document root at this address


def write_label_studio(out: Path, sheet: Mapping[str, Any], final_name: str) -> None:
    """Write the tasks and the labeling interface beside the page of a review.

    Args:
        final_name: name that the folder of the page has below Label Studio's document root.
        sheet: the values of the page; a span that cannot be shown is no task.
    """
    tasks = [
        {
            "data": {
                "video": _LOCAL_FILES + quote(f"{final_name}/{item['clip']}"),
                "question": question(item["stratum"]),
                "facts": _facts(item),
                "avf_id": item["id"],
                "avf_span": item["span"],
                **{f"avf_{name}": sheet[name] for name in IDENTITY},
            }
        }
        for item in sheet["items"]
        if "clip" in item
    ]
    durable_io.write(out / TASKS, (json.dumps(tasks, indent=1) + "\n").encode())
    durable_io.write(out / LABELING_CONFIG, _labeling_config(sheet["stages"]).encode())


def _facts(item: Mapping[str, Any]) -> str:
    """Return where a span is and what was measured, as the review page says it."""
    where = f"{item['source']}, {item['video_id']}, {item['where']}"
    return f"{where}; score {item['score']}" if item["score"] else where


def question(stratum: str) -> str:
    """Return what a reviewer is asked about a span."""
    if stratum == "kept":
        return "Kept. Should it be?"
    return f"Rejected by {stratum.replace('/', ': ').replace('_', ' ')}. Is this verdict right?"


def _labeling_config(stage_names: Iterable[str]) -> str:
    answers = "".join(
        f'\n    <Choice value="{answer}" hotkey="{key}"/>' for answer, key in zip(ANSWERS, "jkl", strict=True)
    )
    stages = "".join(f'\n      <Choice value="{stage}"/>' for stage in stage_names)
    return f"""<View>
  <Header value="$question"/>
  <Text name="facts" value="$facts"/>
  <Choices name="answer" toName="video" choice="single-radio" required="true" showInline="true">{answers}
  </Choices>
  <View visibleWhen="choice-selected" whenTagName="answer" whenChoiceValue="wrong">
    <Header value="If the span was kept: which stage should have stopped it?"/>
    <Choices name="stage" toName="video" choice="single-radio" showInline="true">{stages}
    </Choices>
  </View>
  <Video name="video" value="$video" frameRate="25"/>
</View>
"""


def import_label_studio(export: Path, out: Path, run: RunFolder) -> list[Path]:
    """Write a file of answers for each annotator of a JSON export into the new folder `out`; return their paths.

    Raises:
        UserError: the file is no JSON export, its tasks are not of one review, the answers do not belong to the run,
            or `out` holds files; the message names the task or span. Nothing is written then.
    """
    reviewers: dict[str, dict[str, Any]] = {}
    identities: set[tuple[Any, ...]] = set()
    for number, task in enumerate(_read_tasks(export), 1):
        where = f"{export}: task {number}"
        data = _check_data(task, where)
        identities.add(tuple(data[f"avf_{name}"] for name in IDENTITY))
        for annotation in _objects(task.get("annotations", []), f"{where}: annotations"):
            chosen = _choices(annotation, where)
            if annotation.get("was_cancelled") or "answer" not in chosen:
                continue
            verdict = {"answer": chosen["answer"], "span": data["avf_span"]}
            if "stage" in chosen and chosen["answer"] == "wrong":
                verdict["stage"] = chosen["stage"]
            annotator = _annotator(annotation, where)
            if reviewers.setdefault(annotator, {}).setdefault(data["avf_id"], verdict) != verdict:
                raise UserError(
                    f"{where}: {annotator} gave two different answers to {data['avf_span']}; delete one of them in "
                    "Label Studio and export again"
                )
    if len(identities) != 1 or not reviewers:
        wrong = "its tasks are of different reviews" if len(identities) > 1 else "no task has an answer"
        raise UserError(f"{export}: {wrong}; export the finished project of one review as JSON")
    identity = dict(zip(IDENTITY, identities.pop(), strict=True))
    for reviewer, verdicts in reviewers.items():
        check_verdicts(export, {**identity, "reviewer": reviewer, "verdicts": verdicts}, run)
    names = []
    with fill_new_folder(out) as folder:
        for number, (reviewer, verdicts) in enumerate(sorted(reviewers.items()), 1):
            names.append(f"verdicts-{number}.json")
            durable_io.write(folder / names[-1], answers_as_json(identity, reviewer, verdicts))
    return [out / name for name in names]


def _check_data(task: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return the data that `write_label_studio` gave a task."""
    data = task.get("data")
    if not isinstance(data, dict) or not {*_DATA_TYPES} <= data.keys():
        raise UserError(f"{where}: has no data of a review; import the tasks of {TASKS} and export as JSON")
    for name, kind in _DATA_TYPES.items():
        if type(data[name]) is not kind:
            raise _damaged(f"{where}: data: {name}", "a number" if kind is int else "a text")
    return data


def _objects(value: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise _damaged(where, "a list of objects")
    return value


def _damaged(where: str, wanted: str) -> UserError:
    return UserError(f"{where}: is not {wanted}; export the project from Label Studio as JSON again")


def _read_tasks(export: Path) -> Sequence[Any]:
    try:
        tasks = load_json(read_text(export, "utf-8"))
    except OSError as error:
        raise UserError(f"{export}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise UserError(f"{export}: is not JSON; export the project from Label Studio as JSON") from None
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise UserError(f"{export}: is no list of tasks; export the project from Label Studio as JSON, not as JSON-MIN")
    return tasks


def _choices(annotation: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return name of the control -> first choice."""
    chosen = {}
    for result in _objects(annotation.get("result", []), f"{where}: result"):
        value = result.get("value", {})
        if not isinstance(value, dict):
            raise _damaged(f"{where}: value", "an object")
        choices = value.get("choices", [])
        if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
            raise _damaged(f"{where}: choices", "a list of texts")
        if choices:
            chosen[str(result.get("from_name"))] = choices[0]
    return chosen


def _annotator(annotation: Mapping[str, Any], where: str) -> str:
    """Return the name of the annotator, which an export gives as a number or as an object with an email."""
    by = annotation.get("completed_by")
    if isinstance(by, dict):
        by = by.get("email") or by.get("id")
    if by is not None and not isinstance(by, int | str):
        raise _damaged(f"{where}: completed_by", "a number, or an object with an email")
    return f"annotator {by}" if isinstance(by, int) else by or "annotator"
