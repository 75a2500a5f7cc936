"""Pre-training on one modality alone works from the recipe to fine-tuning, scores and figures."""

import json
from pathlib import Path

import pytest
import torch
from avf_shards.errors import UserError
from avf_training.cli.main import main
from avf_training.config.finetune import load_finetune_recipe
from avf_training.config.pretrain import load_recipe
from avf_training.data.storage import StorageConfig
from avf_training.finetuning.finetune import train_stage
from avf_training.models.classifier import Classifier
from avf_training.models.mae import MaskedAutoencoder
from avf_training.pretraining.pretrain import PretrainingData, run_pretraining
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.task import fold_task
from support.labelled import make_dataset, make_label_rows, make_labelled_shards
from support.training_runs import QUICK, SAVE, SHALLOW, read_metrics

OTHER = {"v": "audio", "a": "video"}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_labelled_shards(tmp_path_factory.mktemp("lab"), {"lab": make_label_rows(6, 2)})


@pytest.fixture(scope="module", params=["v", "a"])
def modality(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def run(shards: Path, modality: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp(f"run-{modality}") / "run"
    recipe = load_recipe("nano", (*QUICK, *SAVE, SHALLOW, f"modalities={modality}", "eval_every=6"))
    assert run_pretraining(recipe, PretrainingData(shards=shards, validation=shards), out) == 6
    return out


def test_it_trains_one_encoder_and_one_decoder_and_draws_them(run: Path, modality: str) -> None:
    model = MaskedAutoencoder.from_pretrained(run / "model")
    names = set(dict(model.named_parameters()))
    assert not any(OTHER[modality] in name or name.startswith("fusion") for name in names)
    torch.manual_seed(load_recipe("nano").seed)
    start = dict(MaskedAutoencoder(model.config).named_parameters())
    changed = {
        name.partition(".")[0] for name, value in model.named_parameters() if not torch.equal(value, start[name])
    }
    assert changed == {name.partition(".")[0] for name in names}, "a part is not trained"
    rows = read_metrics(run)
    own = {"v": "video", "a": "audio"}[modality]
    assert all(row["loss"] == pytest.approx(row[own]) for row in rows), "no other part is in the loss"
    assert [path.name for path in (run / "reconstructions").iterdir()] == ["step-00000006.png"]


def test_its_scores_and_its_figure_are_of_that_modality(
    run: Path, modality: str, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate-pretraining", "--model", str(run), "--shards", str(shards), "--validation", str(shards)]
    assert main([*command, "--json", "-"]) == 0
    scores = json.loads(capsys.readouterr().out)
    own = {"v": "video", "a": "audio"}[modality]
    assert scores[f"{own}_mse"] > 0
    assert scores[f"{OTHER[modality]}_mse"] is None
    assert scores["recall_video_to_audio"] is None
    assert scores["mse/mean patch"] == pytest.approx(scores[f"{own}_mse"] / scores[f"{own}_mean_patch_mse"])
    assert main(command) == 0
    assert "R@1" not in capsys.readouterr().out
    figure = tmp_path / "figure.png"
    assert main(["reconstruct", str(shards), "--model", str(run), "--out", str(figure), "--ratios", "0.5:0.5"]) == 0
    line_start = {"v": "video 0.5 hidden: ", "a": "sound 0.5 hidden: "}[modality]
    assert capsys.readouterr().out.startswith(line_start)
    assert figure.read_bytes()[:4] == b"\x89PNG"
    features = tmp_path / "features.parquet"
    command = ["embed", str(shards), "--model", str(run), "--kinds", "video,audio,fused", "--out", str(features)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert f"24 windows of 24 clips; {own}, fused\n" in printed
    assert f"the model does not have {OTHER[modality]}: empty columns" in printed


def test_fine_tuning_starts_from_it_and_says_what_it_was_trained_on(
    run: Path, modality: str, shards: Path, tmp_path: Path
) -> None:
    settings = [SHALLOW, "batch=4", "micro_batch=4", "workers=0", "steps=2", "threads=1", "validation_share=0"]
    audio_visual = load_finetune_recipe("finetune", "nano", settings)
    labelled = LabelledShards([shards], StorageConfig())
    task = fold_task(make_dataset(), labelled, 1, audio_visual.modalities, 0)
    with pytest.raises(UserError, match=rf"alone and this recipe takes more; `--set modalities={modality}`"):
        train_stage(audio_visual, task, run, tmp_path / "both")
    recipe = load_finetune_recipe("finetune", "nano", [*settings, f"modalities={modality}"])
    train_stage(recipe, fold_task(make_dataset(), labelled, 1, recipe.modalities, 0), run, tmp_path / "one")
    before = MaskedAutoencoder.from_pretrained(run / "model").state_dict()
    after = Classifier.from_pretrained(tmp_path / "one/model").state_dict()
    shared = [name for name in after if name.startswith("encoder_")]
    assert shared
    for name in shared:  # two steps of warm-up move the weights by less than they differ from new ones
        assert (after[name] - before[name]).abs().max() < 0.01, name


def test_a_run_of_both_modalities_freezes_no_setting_that_older_runs_lack() -> None:
    assert "modalities" not in load_recipe("nano").frozen()
    assert load_recipe("nano", ["modalities=a"]).frozen()["modalities"] == "a"


def test_maedfer_has_the_parameters_that_the_paper_prints() -> None:
    with torch.device("meta"):
        pretrained = MaskedAutoencoder(load_recipe("maedfer").model_config())
        config = load_finetune_recipe("finetune", "maedfer").model_config()
        classifier = Classifier(config, 11)
    assert config == pretrained.config.__class__(**{**vars(pretrained.config), "contrastive_weight": 0.0025})
    assert round(sum(p.numel() for p in classifier.parameters()) / 1e6) == 85, "AVF-MAE++ Table 7"
    assert not any("audio" in name or "fusion" in name for name, _ in pretrained.named_parameters())
