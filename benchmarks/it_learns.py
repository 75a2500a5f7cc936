"""Run the study `it_learns` on the labelled demo: each training stage against the same run without that stage. Two hours on two cores.

The variable AVF_IT_LEARNS names a folder of `avf-curate demo --labelled` whose study is finished or begun; without it, a demo is made.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.table import Section

_SHOWN = ("validation", "test_best", "last")


def run() -> list[Section]:
    demo_folder = os.environ.get("AVF_IT_LEARNS")
    if demo_folder:
        return [_section(Path(demo_folder))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "demo"
        _call(Path(name), "avf_curation.cli.main", "demo", "--labelled", "--out", str(folder))
        return [_section(folder)]


def _section(folder: Path) -> Section:
    jobs = str(os.cpu_count() or 1)
    argv = ("study", "it_learns", "--shards", "shards", "--unlabelled", "shards", "--jobs", jobs, "--out", "study")
    _call(folder, "avf_training.cli.main", *argv)
    values = json.loads((folder / "study/study.json").read_text("utf-8"))
    rows = [["", *(f"UAR, {name}" for name in _SHOWN), "seeds"]]
    uar = {(row["row"], row["protocol"]): row["per_seed"].get("UAR", []) for row in values["rows"]}
    for name in dict.fromkeys(row for row, _ in uar):
        cells = [_seed_summary(uar[name, protocol]) for protocol in _SHOWN]
        rows.append([name, *cells, str(len(uar[name, "last"]))])
    note = (
        f"{values['title']}. {values['note']} nano; three folds of four, which test nine of the twelve actors; the test "
        "speakers occur in no training stage. Percent: a seed is the mean of its folds; mean over seeds ± standard deviation, "
        "each seed in parentheses. "
        + " ".join(f"{sentence}." for sentence in values["compared"])
        + " What pre-training adds to post-pre-training: the third row beside the fourth."
    )
    return Section("It learns: pre-training, post-pre-training, fine-tuning", note, rows)


def _seed_summary(values: list[float]) -> str:
    each = ", ".join(f"{100 * value:.0f}" for value in values)
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{spread} ({each})"


def _call(folder: Path, *argv: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", *argv], cwd=folder, check=True, env=environment)
