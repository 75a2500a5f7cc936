"""Promise: on synthetic people, labelled clips of other people improve a model that has few clips of its own.

Half of each feeling is in the face, half in the voice. Everything runs as a user runs it, smaller than the demo. The
study `it_learns` shows pre-training and single modalities as well, which takes longer.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from avf_curation.demo.demo import labelled_demo, run_demo
from avf_curation.demo.expressions import ACTORS, CROWD
from avf_training.cli.main import main


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_each_training_stage_improves_results_on_unseen_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    casts = (replace(ACTORS, speakers=12, takes=1), replace(CROWD, speakers=24, takes=2))
    assert run_demo(Path("lab"), "ray", 2, labelled_demo(casts)) == 0
    row = tmp_path / "lab/actors.yaml"
    row.write_text(row.read_text().replace("folds: 4", "folds: 2"))

    def run(stage: str, out: str, *options: str) -> float:
        datasets = (
            ["--target", str(row), "--join", "lab/crowd.yaml"] if stage == "posttrain" else ["--dataset", str(row)]
        )
        settings = ["workers=1", "evaluate_every=4", "epochs=24" if stage == "posttrain" else "epochs=12"]
        if stage == "finetune":
            settings.append("optim.base_lr=1e-2")  # on two dozen clips more unlearns what the crowd taught
        sets = [part for setting in settings for part in ("--set", setting)]
        argv = [stage, *datasets, "--shards", "lab/shards", "--recipe", "nano", "--out", out, *sets, *options]
        assert main(argv) == 0
        last = json.loads((tmp_path / out / "result.json").read_text())["protocols"]["last"]
        return float(last["scores"]["AUC"]["value"]) if "scores" in last else 0.0

    alone = run("finetune", "alone")
    run("posttrain", "psi")
    after = run("finetune", "after", "--model", "psi")
    # By chance 0.5. A model that reads the face alone, or the voice alone, confuses the four feelings in pairs and has
    # 0.83 and half of its answers right; whether it comes to read both depends on how the processor rounds, so its
    # answers are no measure. docs/benchmarks.md has the level over three seeds.
    assert after > 0.7 > alone, (alone, after)
