"""A run with low-rank adapters: what it saves, how it goes on, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from avf_shards.errors import UserError
from avf_training.config.finetune import FinetuneRecipe, load_finetune_recipe
from avf_training.data.storage import StorageConfig
from avf_training.finetuning.finetune import train_stage
from avf_training.models.classifier import Classifier
from avf_training.models.low_rank import add_adapters
from avf_training.models.low_rank_config import LoraConfig
from avf_training.models.mae import MaskedAutoencoder
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.task import Task, fold_task
from support.labelled import make_dataset, make_label_rows, make_labelled_shards
from support.models import save_pretrained_model, tiny_config
from support.stopped_runs import StoppedError, stop_at_evaluation
from support.training_runs import SHALLOW

SETS = (
    SHALLOW,
    "batch=4",
    "micro_batch=4",
    "workers=0",
    "epochs=2",
    "threads=1",
    "validation_share=0.2",
    "score_test=false",
)
MODEL = load_finetune_recipe("finetune", "nano", [SHALLOW]).model_config()
SETS_LORA = (*SETS, "lora.rank=3", "lora.alpha=6", "drop_path=0.3", "optim.base_lr=0.02")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> LabelledShards:
    folder = make_labelled_shards(tmp_path_factory.mktemp("lab"), {"lab": make_label_rows(4, 2)})
    return LabelledShards([folder], StorageConfig())


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as pre-training leaves it."""
    return save_pretrained_model(tmp_path_factory.mktemp("start") / "mae", seed=5, config=MODEL)


def make_run(shards: LabelledShards, *settings: str) -> tuple[FinetuneRecipe, Task]:
    recipe = load_finetune_recipe("finetune", "nano", [*SETS_LORA, *settings])
    return recipe, fold_task(make_dataset(), shards, 1, recipe.modalities, recipe.validation_share)


@pytest.fixture(scope="module")
def merged(shards: LabelledShards, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that saved whole models."""
    run = tmp_path_factory.mktemp("merged") / "run"
    train_stage(*make_run(shards), start, run)
    return run


def test_a_saved_model_differs_from_its_start_by_matrices_of_the_rank(start: Path, merged: Path) -> None:
    before, after = MaskedAutoencoder.from_pretrained(start).state_dict(), Classifier.from_pretrained(merged / "model")
    changes = {name: after.state_dict()[name] - before[name] for name in after.state_dict().keys() & before.keys()}
    parameters = {name for name, _ in after.named_parameters()} & changes.keys()
    moved = {name for name in parameters if changes[name].abs().max() > 0}
    assert len(moved) > 10
    assert all(name.rpartition(".")[2] == "weight" and changes[name].ndim == 2 for name in moved)
    assert "encoder_video.embed.proj.weight" not in moved
    for name in moved:
        singular = np.linalg.svd(changes[name].double().numpy(), compute_uv=False)
        assert singular[3] < 1e-3 * singular[0], f"{name} has a change of more than rank 3"


def test_a_stopped_run_goes_on_to_the_same_result(
    shards: LabelledShards, start: Path, merged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at_evaluation(monkeypatch, 2)
    with pytest.raises(StoppedError):
        train_stage(*make_run(shards), start, tmp_path / "cut")
    monkeypatch.undo()
    resumed = train_stage(*make_run(shards), start, tmp_path / "cut")
    assert resumed.read_text() == (merged / "result.json").read_text()
    for name in ("validation.jsonl", "predictions/last.json"):
        assert (tmp_path / "cut" / name).read_text() == (merged / name).read_text()


def test_adapters_are_saved_alone_and_read_with_their_base(
    shards: LabelledShards, merged: Path, start: Path, tmp_path: Path
) -> None:
    run, base = tmp_path / "run", tmp_path / "base"
    MaskedAutoencoder.from_pretrained(start).save_pretrained(base)
    train_stage(*make_run(shards, "lora.save=adapters"), base, run)
    merged_state, adapters = (
        Classifier.from_pretrained(folder / "best/validation").state_dict() for folder in (merged, run)
    )
    assert merged_state.keys() == adapters.keys()
    assert all(torch.equal(merged_state[name], adapters[name]) for name in merged_state)
    sizes = [(folder / "model/model.safetensors").stat().st_size for folder in (merged, run)]
    assert sizes[1] < sizes[0] / 3
    with pytest.raises(UserError, match=r"run: holds adapters itself; take lora.save=merged"):
        train_stage(*make_run(shards, "lora.save=adapters"), run, tmp_path / "next")
    (base / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"holds adapters to .*base, where no saved model is; put it back there"):
        Classifier.from_pretrained(run / "model")
    save_pretrained_model(tmp_path / "other", seed=6, config=MODEL)
    (tmp_path / "other/model.safetensors").rename(base / "model.safetensors")
    with pytest.raises(UserError, match="which has other weights now"):
        Classifier.from_pretrained(run / "model")


def test_adapters_without_a_start_are_refused(shards: LabelledShards, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="adapters need weights that have learned; name a start with --model"):
        train_stage(*make_run(shards), None, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_adapters_that_fit_no_layer_are_refused_before_the_folder_is_made(
    shards: LabelledShards, start: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"lora.rank 999: the smallest layer has \d+ inputs; take at most that"):
        train_stage(*make_run(shards, "lora.rank=999"), start, tmp_path / "run")
    with pytest.raises(UserError, match=r"lora.rank: no layer is left to adapt; take fewer frozen_layers"):
        add_adapters(Classifier(tiny_config("vit", "cross"), 2).requires_grad_(False), LoraConfig(rank=2), new=[])
    with pytest.raises(UserError, match="holds a 'nano' of another size"):
        train_stage(*make_run(shards, "model=hicmae_t", "lora.rank=0"), start, tmp_path / "run")
    assert not (tmp_path / "run").exists(), "the corrected command would be refused there as another run"
