"""Training of SUN's networks of single pictures: rates by layer, gradual unfreezing, resuming, starts, and refusals."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from avf_shards.errors import UserError
from avf_training.cli.main import main
from avf_training.data.storage import StorageConfig
from avf_training.finetuning.model_selection import read_validation
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.models import static_files, static_nets
from avf_training.framewise.models.static_nets import StaticNet
from avf_training.framewise.pictures.finetune_recipe import load_image_finetune_recipe
from avf_training.framewise.pictures.finetuning import finetune_images
from avf_training.framewise.pictures.finetuning_loss import choose_weights, make_picture_loss
from avf_training.framewise.pictures.selection import BestPictureModel
from avf_training.framewise.pictures.shard_labels import read_labelled_shards
from avf_training.framewise.pictures.step_statistics import StepStatistics
from avf_training.framewise.tracks.loading import load_extractor
from safetensors.torch import save_file
from support import ranks_of_pictures
from support.drawn_pictures import disc_picture, read_weights, same_bits
from support.narrow_networks import narrow_efficientnet
from support.picture_shards import write_picture_shards
from torch import nn

QUICK = ("static.size_px=32", "batch=4", "micro_batch=4", "epochs=3", "workers=0", "threads=1", "checkpoint_keep=9")
HEAD = 128 * 256 + 256 + 2 * 256 + 256 * 2 + 2  # parameters of the embedding, its norm and both values
EXPRESSIONS = ("Neutral", "Happiness")


@pytest.fixture(scope="module", autouse=True)
def small_networks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(static_nets, "efficientnet_b1", narrow_efficientnet)
        yield


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve discs: eight to train on, four of other persons to score."""
    folder = tmp_path_factory.mktemp("labelled") / "shards"
    pictures = [
        disc_picture(
            number,
            labels={
                "valence": f"{np.sin(number):.3f}",
                "arousal": f"{np.cos(number):.3f}",
                "abaw_expression": EXPRESSIONS[number % 2],
            },
            person=f"p{number}",
            subset="validation" if number < 4 else "train",
        )
        for number in range(12)
    ]
    write_picture_shards(folder, pictures, 12)
    return folder


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone with random weights as torchvision publishes it, with its classes of ImageNet."""
    torch.manual_seed(7)
    file = tmp_path_factory.mktemp("backbone") / "efficientnet_b1.safetensors"
    save_file(narrow_efficientnet(None).state_dict(), file)
    return file


@pytest.fixture(scope="module")
def trained(labelled: Path, backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three epochs of two steps."""
    out = tmp_path_factory.mktemp("trained") / "run"
    assert train(labelled, backbone, out) == 6
    return out


def train(shards: Path, start: Path | None, out: Path, *settings: str, task: str = "va") -> int:
    recipe = load_image_finetune_recipe("sun_b1", (*QUICK, *settings))
    return finetune_images(recipe, read_labelled_shards([shards], find_task(task), StorageConfig()), start, out)


def read_steps(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_layers_open_one_an_epoch_each_at_its_rate(trained: Path, backbone: Path) -> None:
    before = {f"model.{name}": value for name, value in static_files.read_tensors(backbone).items()}
    after = read_weights(trained)
    learned = {
        name for name, _ in narrow_efficientnet(None).named_parameters()
        if f"model.{name}" in after and not torch.equal(before[f"model.{name}"], after[f"model.{name}"])
    }  # fmt: skip
    assert {name.split(".")[1] for name in learned} == {"8"}, "the first six layers below the head stay closed"
    open_parameters = [row["learned_parameters"] for row in read_steps(trained)]
    assert open_parameters[:4] == 4 * [HEAD]
    assert open_parameters[4:] == 2 * [HEAD + sum(before[f"model.{name}"].numel() for name in learned)]
    layers = json.loads((trained / "run.json").read_text())["layers"]
    assert [each["layer"] for each in layers[-5:]] == ["Linear", "BatchNorm1d", "Tanh", "Identity", "Linear"]
    assert layers[-1]["rate"] == pytest.approx(0.02 * 4 / 256)
    assert layers[8]["rate"] == pytest.approx(max(5e-5, layers[-1]["rate"] * 0.9**4))
    assert len(layers) == 17
    changes = json.loads((trained / "run.json").read_text())["changes"]
    assert (len(changes), changes[3]) == (12, "noise")
    assert all(row["lr"] == layers[-1]["rate"] for row in read_steps(trained))


def score_as(monkeypatch: pytest.MonkeyPatch, values: Sequence[float | None]) -> list[float | None]:
    """Let an evaluation of pictures give one value after the other; return those that are left."""
    left = list(values)
    monkeypatch.setattr(BestPictureModel, "score", lambda self: {find_task("va").metric: left.pop(0)})
    return left


def test_a_run_ends_where_its_scores_stop_to_rise(
    labelled: Path, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two steps an epoch: the second epoch is the best, and the third and fourth are not better."""
    left = score_as(monkeypatch, [0.2, 0.5, None, 0.5, 0.9])
    with caplog.at_level("INFO", logger="avf_training"):
        assert train(labelled, backbone, tmp_path / "run", "epochs=9", "patience=2") == 8
    assert left == [0.9], "no epoch after the fourth is scored"
    assert caplog.text.count("the run ends at step 8: 2 evaluations without a better validation mean CCC") == 1
    assert (tmp_path / "run/model").is_dir()
    at_end = read_weights(tmp_path / "run")

    out = tmp_path / "stopped"
    shutil.copytree(tmp_path / "run", out)
    shutil.rmtree(out / "model")
    rows = (out / "validation.jsonl").read_text().splitlines(keepends=True)
    (out / "validation.jsonl").write_text("".join(rows[:3]))
    for step in (6, 8):
        shutil.rmtree(out / f"checkpoints/step-{step:08d}")
    left = score_as(monkeypatch, [0.5, 0.9])
    assert train(labelled, backbone, out, "epochs=9", "patience=2") == 8
    assert left == [0.9], "what was scored before the stop counts"
    assert same_bits(read_weights(out), at_end)
    assert train(labelled, backbone, out, "epochs=9", "patience=2") == 8, "a run that has ended does not go on"
    assert left == [0.9]


def test_a_run_without_any_score_takes_all_steps(
    labelled: Path, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score_as(monkeypatch, [None, None, None])
    assert train(labelled, backbone, tmp_path / "run", "epochs=3", "patience=1") == 6


def test_the_authors_code_never_trains_the_backbone(labelled: Path, backbone: Path, tmp_path: Path) -> None:
    train(labelled, backbone, tmp_path / "run", "protocol=authors_code")
    before, after = static_files.read_tensors(backbone), read_weights(tmp_path / "run")
    weights = [name for name, _ in narrow_efficientnet(None).named_parameters() if f"model.{name}" in after]
    assert all(torch.equal(before[name], after[f"model.{name}"]) for name in weights)
    assert {row["learned_parameters"] for row in read_steps(tmp_path / "run")} == {HEAD}
    layers = json.loads((tmp_path / "run/run.json").read_text())["layers"]
    assert [each["rate"] for each in layers[:9]] == 9 * [None]
    assert json.loads((tmp_path / "run/run.json").read_text())["changes"][3] == "blur"


def test_a_stopped_run_goes_on_with_the_same_bits_and_layers(labelled: Path, trained: Path, backbone: Path) -> None:
    out = trained.with_name("stopped")
    shutil.copytree(trained, out)
    shutil.rmtree(out / "model")
    for step in (4, 6):
        shutil.rmtree(out / f"checkpoints/step-{step:08d}")
    assert train(labelled, backbone, out, "workers=1") == 6
    assert same_bits(read_weights(out), read_weights(trained))
    rows = ([row["learned_parameters"] for row in read_steps(run)] for run in (out, trained))
    assert next(rows) == next(rows)


def test_a_checkpoint_in_the_middle_of_unfreezing_is_a_start(labelled: Path, trained: Path, backbone: Path) -> None:
    """The last checkpoint was saved with layers open whose moments an earlier one had as zeros."""
    out = trained.with_name("finished")
    shutil.copytree(trained, out)
    shutil.rmtree(out / "model")
    assert train(labelled, backbone, out) == 6
    assert same_bits(read_weights(out), read_weights(trained))


@pytest.mark.parametrize("task", ["va", "expr", "au"])
def test_each_task_gives_an_extractor(
    labelled: Path, trained: Path, tmp_path: Path, task: str, caplog: pytest.LogCaptureFixture
) -> None:
    if task == "au":
        pictures = [disc_picture(n, labels={"AU12": str(n % 2)}, person=f"p{n}") for n in range(12)]
        labelled = tmp_path / "shards"
        write_picture_shards(labelled, pictures, 12)
    run = trained if task == "va" else tmp_path / "run"
    if task != "va":
        assert train(labelled, None, run, "epochs=1", task=task) >= 2
        assert re.search(r"starts from random weights, and [1-9]\d* of its \d+ layers never learn", caplog.text)
    assert find_task(task).metric in read_validation(run)[0].scores["validation"]
    extractor = load_extractor("efficientnet_b1", run)
    assert json.loads(extractor.identity.settings)["size_px"] == 32
    assert extractor.identity.digest == load_extractor("efficientnet_b1", run / "best/validation").identity.digest


@pytest.mark.slow
def test_two_processes_give_the_same_model_as_one(labelled: Path, tmp_path: Path) -> None:
    """Of a step's two micro-batches each process has one; layers open at the second and the third epoch."""
    settings = (*QUICK, "batch=8", "epochs=5")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, "-m", "support.ranks_of_pictures", str(labelled), str(tmp_path / "two"), *settings],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    ranks_of_pictures.run(str(labelled), str(tmp_path / "one"), *settings)
    two, single = read_weights(tmp_path / "two"), read_weights(tmp_path / "one")
    statistics = {name for name in single if name.endswith(("running_mean", "running_var"))}
    assert len(statistics) > 20
    assert same_bits(*({name: each[name] for name in each.keys() - statistics} for each in (two, single)))
    for name in statistics:  # a mean of two numbers, rounded at another moment
        torch.testing.assert_close(two[name], single[name], rtol=1e-6, atol=1e-6)
    learned = [[row["learned_parameters"] for row in read_steps(tmp_path / name)] for name in ("two", "one")]
    assert learned[0] == learned[1]
    assert learned[0][0] < learned[0][-1]
    scores = [read_validation(tmp_path / name)[-1].scores["validation"]["mean CCC"] for name in ("two", "one")]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_statistics_move_once_a_step_by_the_mean_of_its_micro_batches() -> None:
    norm, plain = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    first, second = torch.randn(8, 2, generator=torch.Generator().manual_seed(1)).split(4)
    statistics = StepStatistics(nn.Sequential(norm))
    norm(first), norm(second)
    statistics.finish(skipped=False)
    mean, variance = (torch.stack([first.mean(0), second.mean(0)]), torch.stack([first.var(0), second.var(0)]))
    torch.testing.assert_close(norm.running_mean, 0.1 * mean.mean(0))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * variance.mean(0))
    assert (int(norm.num_batches_tracked), norm.momentum) == (1, plain.momentum)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    statistics = StepStatistics(norm)
    norm(second * 100)
    statistics.finish(skipped=True)
    assert same_bits(norm.state_dict(), before)


def test_without_rates_of_layers_the_rate_warms_up_and_waves(labelled: Path, tmp_path: Path) -> None:
    settings = ("static.layer_rates=false", "static.gradual_unfreezing=false", "warmup_steps=2", "steps=6")
    train(labelled, None, tmp_path / "run", *settings)
    everything = sum(each.numel() for each in StaticNet("efficientnet_b1", expressions=0).parameters())
    highest, lowest = 0.02 * 4 / 256, 4e-4 * 4 / 256
    rates = [row["lr"] for row in read_steps(tmp_path / "run")]
    assert rates[:2] == pytest.approx([5e-5, (5e-5 + highest) / 2])
    assert rates[2:4] == pytest.approx(2 * [highest])
    assert rates[4:] == pytest.approx(2 * [lowest + (highest - lowest) * (1 + np.cos(np.pi / 5)) / 2])
    assert {row["learned_parameters"] for row in read_steps(tmp_path / "run")} == {everything}


def test_a_run_starts_from_a_trained_network_with_a_new_head_of_another_task(
    labelled: Path, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained / "model", tmp_path / "start")
    (tmp_path / "start/learned.parquet").unlink()  # else the run is refused: the same labels were learned
    still = ("optim.base_lr=1e-30", "optim.min_lr=0", "epochs=1")
    for task in ("va", "expr"):
        train(labelled, tmp_path / "start", tmp_path / task, *still, "static.layer_rates=false", task=task)
    before, same, other = (read_weights(tmp_path / name) for name in ("va", "va", "expr"))
    assert torch.equal(
        same["regression.weight"], static_files.read_static_net(trained / "model")[1]["regression.weight"]
    )
    assert not torch.equal(other["regression.weight"], before["regression.weight"])
    assert torch.equal(other["embeddings_layer.weight"], before["embeddings_layer.weight"])
    assert other["classifier.weight"].shape == (8, 256)


def test_losses_are_those_of_the_recipe(labelled: Path) -> None:
    va = find_task("va")
    predicted, truth = torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    cases = {
        "log_cosh": np.log(np.cosh(1)) / 2,  # each column has one error of 1 among two frames
        "rmse": np.sqrt(0.5),
    }
    for kind, expected in cases.items():
        recipe = load_image_finetune_recipe("sun_b1", (f"dimension_loss={kind}",))
        assert float(make_picture_loss(va, None, recipe)(predicted, truth)) == pytest.approx(expected, rel=1e-5)
    summed = load_image_finetune_recipe("sun_b1", ("protocol_options={log_cosh_reduction: sum}",))
    assert float(make_picture_loss(va, None, summed)(predicted, truth)) == pytest.approx(np.log(np.cosh(1)), rel=1e-5)
    expressions = np.array([[0], [0], [0], [1]], np.float32)
    weights = choose_weights(find_task("expr"), load_image_finetune_recipe("sun_b1"), expressions)
    assert weights is not None
    assert weights[:3].tolist() == pytest.approx([0.25, 0.75, 0])


def test_mistakes_are_told_in_words(
    labelled: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["finetune-images", str(labelled), "--task", "va", "--out", str(tmp_path / "run")]
    assert main([*common, "--recipe", "image_features_small"]) == 2
    assert "--recipe image_features_small starts from an image model; give --model MODEL" in capsys.readouterr().err
    assert main([*common, "--recipe", "sun_vit", "--set", "static.size_px=64"]) == 2
    assert "size_px 64: the positions of vit_b_16 are those of 224 px" in capsys.readouterr().err
    assert main([*common, "--recipe", "sun_b4", "--set", "workers=0", "--model", str(trained / "model")]) == 2
    assert "is a network on efficientnet_b1, and the recipe's is on efficientnet_b4" in capsys.readouterr().err
    save_file({"conv.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    assert main([*common, "--recipe", "sun_b1", "--model", str(tmp_path / "other.safetensors")]) == 2
    assert "has no tensor of efficientnet_b1; its tensors begin" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="is a network on efficientnet_b1, not on efficientnet_b4"):
        load_extractor("efficientnet_b4", trained)
    with pytest.raises(UserError, match=r"holds a network of single pictures .*\(image_static\)"):
        load_extractor("vit", trained)


@pytest.mark.parametrize("name", ["sun_b1", "sun_b4", "sun_vit", "sun_hrnet"])
def test_recipes_have_the_papers_values(name: str) -> None:
    recipe = load_image_finetune_recipe(name)
    assert recipe.optim.base_lr * recipe.batch / 256 == pytest.approx(0.005)
    assert recipe.static is not None
    assert recipe.static.side_px == {"sun_b1": 240, "sun_b4": 380, "sun_vit": 224, "sun_hrnet": 256}[name]
    assert (recipe.epochs, recipe.warmup_steps, recipe.optim.weight_decay, recipe.patience) == (100, 100, 1e-4, 10)
