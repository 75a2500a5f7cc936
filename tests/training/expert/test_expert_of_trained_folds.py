"""From training every fold to the scores of a language model that repeats the expert."""

import json
from pathlib import Path

import pytest
from avf_training.cli.main import main
from support.labelled import make_label_rows, make_labelled_shards

ROW = "name: lab\ntitle: Lab\nsource: lab\nlabels: [left, right]\nfolds: 2\nclips: 24\n"


@pytest.mark.slow
def test_trained_folds_answer_for_clips_that_they_never_saw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards = make_labelled_shards(tmp_path, {"lab": make_label_rows(6, 2)})
    (tmp_path / "lab.yaml").write_text(ROW)
    sets = ["batch=6", "micro_batch=6", "workers=0", "epochs=1", "threads=1"]
    train = ["finetune", "--dataset", str(tmp_path / "lab.yaml"), "--fold", "all", "--recipe", "nano"]
    train += ["--shards", str(shards), "--out", str(tmp_path / "folds")]
    assert main([*train, *(word for text in sets for word in ("--set", text))]) == 0
    folds, out = str(tmp_path / "folds"), tmp_path / "prompts"
    assert main(["expert", "prompts", folds, "--shards", str(shards), "--out", str(out)]) == 0
    answers = tmp_path / "answers.jsonl"
    with answers.open("w") as file:
        for line in (out / "prompts.jsonl").read_text().splitlines():
            prompt = json.loads(line)
            label = "left" if "wrong: left" in prompt["prompt"] else "right"
            file.write(json.dumps({"prompt_set": prompt["prompt_set"], "id": prompt["id"], "answer": label}) + "\n")
    capsys.readouterr()
    assert main(["expert", "score", str(out), str(answers), "--json", "-"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert scores["with"]["clips"] == 24
    assert scores["with"]["agreement"] == 1.0
    assert scores["with"]["metrics"] == scores["expert"]["metrics"]
    summary = json.loads((tmp_path / "folds/folds.json").read_text())["protocols"]["validation"]["scores"]
    assert scores["expert"]["metrics"]["ACC"] == pytest.approx(summary["WAR"]["pooled"])
    assert scores["expert"]["metrics"]["UF1"] == pytest.approx(summary["UF1"]["pooled"])
    tokens = tmp_path / "tokens.safetensors"
    assert main(["expert", "tokens", folds, "--shards", str(shards), "--out", str(tokens)]) == 0
