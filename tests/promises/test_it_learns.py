"""README: without licensed data, on people drawn by code, post-pre-training teaches what fine-tuning alone cannot.

Half of each feeling is in the face, half in the voice. Everything runs as a user runs it, smaller than the demo.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from avf_curation.cli import main as curate_main
from avf_curation.demo import labelled_tour
from avf_curation.demo.expressions import ACTORS, CROWD
from avf_training.cli import main

SETS = ["workers=1", "log_every=50", "evaluate_every=3"]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_stages_on_people_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelled_tour, "ACTORS", replace(ACTORS, people=8, takes=1))
    monkeypatch.setattr(labelled_tour, "CROWD", replace(CROWD, people=22, takes=2))
    monkeypatch.chdir(tmp_path)
    assert curate_main(["demo", "--labelled", "--out", "lab", "--workers", "2"]) == 0
    row = tmp_path / "lab/actors.yaml"
    row.write_text(row.read_text().replace("folds: 4", "folds: 2"))

    def run(stage: str, out: str, *more: str) -> dict[str, float]:
        which = ["--target", str(row), "--join", "lab/crowd.yaml"] if stage == "posttrain" else ["--dataset", str(row)]
        sets = [part for one in SETS for part in ("--set", one)]
        argv = [stage, *which, "--shards", "lab/shards", "--recipe", "nano", "--out", out, *sets, *more]
        assert main(argv) == 0
        protocols = json.loads((tmp_path / out / "result.json").read_text())["protocols"]
        return {name: entry["scores"]["UAR"]["value"] for name, entry in protocols.items() if entry.get("scores")}

    run("posttrain", "psi", "--set", "epochs=12")
    alone = run("finetune", "alone", "--set", "epochs=24")
    after = run("finetune", "after", "--set", "epochs=24", "--from", "psi")
    assert after["last"] > 0.7, (alone, after)
    assert after["last"] > alone["last"] + 0.2, (alone, after)
    run("posttrain", "face", "--set", "epochs=9", "--set", "modalities=v")
    face = run("finetune", "face-after", "--set", "epochs=9", "--set", "modalities=v", "--from", "face")
    assert face["last"] < 0.7, "a face alone tells two of four apart"
    assert after["last"] > face["last"], (face, after)
