"""Tokens of a clip are of the model of the fold that tests it, and a projector takes them."""

import json
from pathlib import Path

import pytest
import torch
from avf_training.cli.main import main
from avf_training.expert.projector import Projector
from avf_training.inference.feature_model import FeatureModel
from avf_training.models.classifier import Classifier, OutputSpec
from avf_training.models.presets import preset
from safetensors import safe_open
from support.expert_runs import write_fold_runs
from support.labelled import LABELS, make_dataset, make_label_rows, make_labelled_shards


def test_tokens_are_of_the_fold_that_tests_the_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards = make_labelled_shards(tmp_path, {"lab": make_label_rows(2, 1)})
    for seed, run in enumerate(write_fold_runs(tmp_path / "folds", make_dataset(), shards)):
        torch.manual_seed(seed)
        model = Classifier(preset("nano"), 2, output_spec=OutputSpec(names=LABELS))
        model.save_pretrained(run / "best/validation")
    out = tmp_path / "tokens.safetensors"
    argv = ["expert", "tokens", str(tmp_path / "folds"), "--shards", str(shards), "--out", str(out)]
    assert main([*argv, "--kind", "frames"]) == 0
    assert "8 tokens of " in capsys.readouterr().out
    with safe_open(out, "pt") as file:
        assert json.loads(file.metadata()["expert_tokens"])["kind"] == "frames"
        tokens = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    assert len(tokens) == 4
    width = next(iter(tokens.values())).shape[1]
    assert Projector(width, 16)(torch.stack(list(tokens.values()))).shape == (4, 8, 16)

    from avf_training.data.storage import StorageConfig
    from avf_training.tasks.labelled_shards import LabelledShards

    labelled = LabelledShards([shards], StorageConfig())
    for number in (1, 2):
        tested = json.loads((tmp_path / f"folds/fold-{number}/run.json").read_text())["test"]
        model = FeatureModel(tmp_path / f"folds/fold-{number}/best/validation")
        files = labelled.read(next(clip.index for clip in labelled.clips() if clip.key == tested[0]))
        (features,) = model.features(files, model.windows(64, 2.56), per_frame=True)
        assert features.frames is not None
        assert torch.allclose(features.frames, tokens[tested[0]], atol=1e-6)
    assert main(argv) == 0, "its own file is replaced"
    out.write_bytes(b"notes")
    with pytest.raises(SystemExit):
        main(argv)
    assert "is not a file of avf-train expert tokens" in capsys.readouterr().err
