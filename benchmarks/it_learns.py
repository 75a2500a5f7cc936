"""The study `it_learns`: each stage beside the one without it, on the labelled demo. An hour on two cores, the demo included.

AVF_IT_LEARNS names a folder of `avf-curate demo --labelled` whose study is done or half done; without it one is made.
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
    named = os.environ.get("AVF_IT_LEARNS")
    if named:
        return [_section(Path(named))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "demo"
        _call(Path(name), "avf_curation.cli.main", "demo", "--labelled", "--out", str(folder))
        return [_section(folder)]


def _section(folder: Path) -> Section:
    jobs = str(os.cpu_count() or 1)
    argv = ("study", "it_learns", "--shards", "shards", "--unlabelled", "shards", "--jobs", jobs, "--out", "study")
    _call(folder, "avf_training.cli.main", *argv)
    values = json.loads((folder / "study/study.json").read_text("utf-8"))
    rows = [["", *(f"UAR, {name.replace('_', ' ')}" for name in _SHOWN), "seeds"]]
    found = {(one["row"], one["protocol"]): one["per_seed"].get("UAR", []) for one in values["rows"]}
    for name in dict.fromkeys(row for row, _ in found):
        cells = [_told(found[name, protocol]) for protocol in _SHOWN]
        rows.append([name, *cells, str(len(found[name, "last"]))])
    note = (
        f"{values['title']}. {values['note']} nano, one fold of four, twelve actors; people who are tested are seen in no stage "
        "before. Percent, mean over seeds ± standard deviation, each seed in parentheses. "
        + " ".join(f"{one}." for one in values["compared"])
        + " What pre-training adds to post-pre-training: the third row beside the fourth."
    )
    return Section("It learns: pre-training, post-pre-training, fine-tuning", note, rows)


def _told(values: list[float]) -> str:
    each = ", ".join(f"{100 * one:.0f}" for one in values)
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{spread} ({each})"


def _call(folder: Path, *argv: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", *argv], cwd=folder, check=True, env=environment)
