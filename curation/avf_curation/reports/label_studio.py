"""A review in Label Studio: tasks and labeling interface for its import, and answers from its JSON export.

Formats: https://labelstud.io/guide/task_format and https://labelstud.io/tags/choices.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.system import durable_io

from avf_curation.audit.agreement import answers_as_json
from avf_curation.audit.review import ANSWERS
from avf_curation.stages.checks import STAGES

TASKS, LABELING_CONFIG = "label_studio_tasks.json", "label_studio_config.xml"
IDENTITY = ("fingerprint", "inputs_sha256", "n", "seed")
_LOCAL_FILES = "/data/local-files/?d="  # Label Studio serves files below its document root at this address


def write_label_studio(out: Path, sheet: Mapping[str, Any]) -> None:
    """Write the tasks and the labeling interface beside the page of a review.

    Args:
        sheet: the values of the page; a span that cannot be shown is no task.
    """
    tasks = [
        {
            "data": {
                "video": f"{_LOCAL_FILES}{out.name}/{item['clip']}",
                "question": question(item["stratum"]),
                "facts": f"{item['source']}, {item['video_id']}, {item['where']}. {item['score']}",
                "avf_id": item["id"],
                "avf_span": item["span"],
                **{f"avf_{name}": sheet[name] for name in IDENTITY},
            }
        }
        for item in sheet["items"]
        if "clip" in item
    ]
    durable_io.write(out / TASKS, (json.dumps(tasks, indent=1) + "\n").encode())
    durable_io.write(out / LABELING_CONFIG, _labeling_config().encode())


def question(stratum: str) -> str:
    """Return what a reviewer is asked about a span."""
    if stratum == "kept":
        return "Kept. Should it be?"
    return f"Rejected by {stratum.replace('/', ': ').replace('_', ' ')}. Is this verdict right?"


def _labeling_config() -> str:
    answers = "".join(
        f'\n    <Choice value="{answer}" hotkey="{key}"/>' for answer, key in zip(ANSWERS, "jkl", strict=True)
    )
    stages = "".join(f'\n    <Choice value="{stage}"/>' for stage in STAGES)
    return f"""<View>
  <Header value="$question"/>
  <Text name="facts" value="$facts"/>
  <Video name="video" value="$video" frameRate="25"/>
  <Choices name="answer" toName="video" choice="single-radio" required="true" showInline="true">{answers}
  </Choices>
  <Header value="Kept and wrong: which stage should have stopped it?"/>
  <Choices name="stage" toName="video" choice="single-radio" showInline="true" visibleWhen="choice-selected" \
whenTagName="answer" whenChoiceValue="wrong">{stages}
  </Choices>
</View>
"""


def import_label_studio(export: Path, out: Path) -> list[Path]:
    """Write a file of answers for each annotator of a JSON export; return their paths.

    Raises:
        UserError: the file is no JSON export, or its tasks are not of one review; the message names the task.
    """
    reviewers: dict[str, dict[str, Any]] = {}
    identities: set[tuple[Any, ...]] = set()
    for number, task in enumerate(_read_tasks(export), 1):
        data = task.get("data") if isinstance(task, dict) else None
        if (
            not isinstance(data, dict)
            or not {"avf_id", "avf_span", *(f"avf_{name}" for name in IDENTITY)} <= data.keys()
        ):
            raise UserError(
                f"{export}: task {number}: has no data of a review; import the tasks of {TASKS} and export as JSON"
            )
        identities.add(tuple(data[f"avf_{name}"] for name in IDENTITY))
        for annotation in task.get("annotations", ()):
            chosen = _choices(annotation)
            if annotation.get("was_cancelled") or "answer" not in chosen:
                continue
            verdict = {"answer": chosen["answer"], "span": data["avf_span"]}
            if "stage" in chosen and chosen["answer"] == "wrong":
                verdict["stage"] = chosen["stage"]
            reviewers.setdefault(_annotator(annotation), {})[data["avf_id"]] = verdict
    if len(identities) != 1 or not reviewers:
        wrong = "its tasks are of different reviews" if len(identities) > 1 else "no task has an answer"
        raise UserError(f"{export}: {wrong}; export the finished project of one review as JSON")
    identity = dict(zip(IDENTITY, identities.pop(), strict=True))
    durable_io.make_folder(out)
    paths = []
    for number, (reviewer, verdicts) in enumerate(sorted(reviewers.items()), 1):
        paths.append(out / f"verdicts-{number}.json")
        durable_io.write(paths[-1], answers_as_json(identity, reviewer, verdicts))
    return paths


def _read_tasks(export: Path) -> Sequence[Any]:
    try:
        tasks = json.loads(export.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{export}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise UserError(f"{export}: is not JSON; export the project from Label Studio as JSON") from None
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise UserError(f"{export}: is no list of tasks; export the project from Label Studio as JSON, not as JSON-MIN")
    return tasks


def _choices(annotation: Mapping[str, Any]) -> dict[str, str]:
    """Return name of the control -> first choice."""
    chosen = {}
    for result in annotation.get("result", ()):
        choices = result.get("value", {}).get("choices") if isinstance(result, dict) else None
        if choices:
            chosen[str(result.get("from_name"))] = str(choices[0])
    return chosen


def _annotator(annotation: Mapping[str, Any]) -> str:
    """Return the name of the annotator, which an export gives as a number or as an object with an email."""
    by = annotation.get("completed_by")
    if isinstance(by, dict):
        by = by.get("email") or by.get("id")
    return f"annotator {by}" if isinstance(by, int) else str(by or "annotator")
