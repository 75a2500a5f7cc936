"""Train the detector on the forged demo, both heads and three seeds, and score each kind of forgery on people never seen.

About two hours on two idle cores. The variable AVF_DETECTION names a folder of `avf-curate demo --forged` whose runs are finished or begun; without it, a
demo is made. AVF_DETECTION=none writes the table without figures, for a machine that has not the time.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from avf_training.data.storage import StorageConfig
from avf_training.evaluation.roc_curve import trace_roc
from avf_training.study.detection_numbers import DetectionReport, read_detector, truth_of_clip
from avf_training.tasks.labelled_shards import LabelledShards

from benchmarks.table import Section

SEEDS = (0, 1, 2)
HEADS = ("linear", "detector")
_TITLE = "Detection of fakes: each kind of forgery, on people never seen"
_NOTE = (
    "`avf-curate demo --forged`: drawn people, each real and forged in seven ways; people are parted into training, validation and test. nano from random "
    "weights by the recipe `deepfakes_nano`, with either head. AUC in percent of the fakes of a method against all reals of the test: mean over three seeds, "
    "each seed in parentheses. Files by bytes a second of the input: what file size alone tells, 50 is chance. Few people are tested, so a figure may be off "
    "by ten and more."
)
_ROW = """\
source: forged
task: detection
labels: [real, fake]
folds: 1
split: column
only: {split: [train, val, test]}
tested: {split: [test]}
validated: {split: [val]}
"""


def run() -> list[Section]:
    demo = os.environ.get("AVF_DETECTION")
    if demo == "none":
        rows = [["", *(f"head {head}" for head in HEADS)], ["all fakes", *["not measured"] * len(HEADS)]]
        return [Section(_TITLE, _NOTE, rows)]
    if demo:
        return [_section(Path(demo))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "demo"
        _call(Path(name), "avf_curation.cli.main", "demo", "--forged", "--out", str(folder))
        return [_section(folder)]


def _section(folder: Path) -> Section:
    row = folder / "forged.yaml"
    row.write_text(_ROW)
    shards = LabelledShards([folder / "shards"], StorageConfig())
    reports: dict[str, list[DetectionReport]] = {}
    for head in HEADS:
        for seed in SEEDS:
            out = folder / f"{head}-{seed}"
            changes = (f"seed={seed}", f"head={head}", "score_test=false", "evaluate_every=3", *_more_settings())
            argv = ("finetune", "--dataset", str(row), "--shards", str(folder / "shards"), "--recipe", "deepfakes_nano")
            _call(
                folder,
                "avf_training.cli.main",
                *argv,
                "--out",
                str(out),
                *(word for change in changes for word in ("--set", change)),
            )
            reports.setdefault(head, []).append(read_detector(out, shards, "validation").report)
    first = reports[HEADS[0]][0]
    rows = [["", *(f"head {head}" for head in HEADS)]]
    rows.append(["all fakes", *(_seeds([_auc(report) for report in reports[head]]) for head in HEADS)])
    for method in (each.name for each in first.methods):
        cells = (_seeds([_auc_of(report, method) for report in reports[head]]) for head in HEADS)
        rows.append([method, *cells])
    rows.append(["bytes a second alone", *[f"{100 * _auc_of_size(shards, first):.0f}"] * len(HEADS)])
    return Section(_TITLE, f"{_NOTE} {first.reals} reals and {first.fakes} fakes are tested.", rows)


def _more_settings() -> tuple[str, ...]:
    """Return further settings of the recipe, as `AVF_DETECTION_SET="steps=4"`: a short run shows that the command works."""
    return tuple(os.environ.get("AVF_DETECTION_SET", "").split())


def _auc(report: DetectionReport) -> float:
    return next(score.value for score in report.scores if score.name == "AUC")


def _auc_of(report: DetectionReport, method: str) -> float:
    value = next(each.scores["AUC"] for each in report.methods if each.name == method)
    return float("nan") if value is None else value


def _auc_of_size(shards: LabelledShards, report: DetectionReport) -> float:
    """Return the AUC of the bytes a second of the tested files, as a score of a fake."""
    tested = {line.file for line in report.files}
    truth_of = {clip.key: truth_of_clip(clip).is_fake for clip in shards.clips() if clip.video_id in tested}
    sizes = {record.key: record.input_bytes / record.span.seconds for _, record in shards.records()}
    curve = trace_roc([int(fake) for fake in truth_of.values()], [sizes[key] for key in truth_of])
    return float("nan") if curve is None else curve.auc


def _seeds(values: list[float]) -> str:
    return f"{100 * np.mean(values):.1f} ({', '.join(f'{100 * value:.0f}' for value in values)})"


def _call(folder: Path, *argv: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", *argv], cwd=folder, check=True, env=environment)
