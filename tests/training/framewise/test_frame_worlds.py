"""Training of sequence models in several processes: the same numbers in any world, and a world that does not fit."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from avf_shards.errors import UserError
from avf_training.cli.main import main
from avf_training.framewise.training.batch_parts import run_in_parts, seeds_of_parts
from avf_training.framewise.training.frame_recipe import FrameRecipe
from avf_training.trainer.metrics_writer import read_lines
from safetensors.torch import load_file
from support.planted_tracks import write_planted_corpus
from torch import nn

SMALL = (
    *("batch=8", "micro_batch=2", "epochs=1", "patience=1", "rate=0.003", "threads=1", "window=10"),
    *("class_weights=none", "evaluate_every=1", "warmup_steps=2", "rows_in=memory"),
)
MODELS = {
    "sun_temporal": ("visual=[looks]", "normalization=standard", "select=apart"),
    "sun_cross_attention": ("visual=[looks,more_looks]", "audio=[sounds]"),
    "netease_fusion": ("visual=[looks]", "audio=[sounds]", "window=30", "hidden=[16,16,8]"),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_planted_corpus(tmp_path_factory.mktemp("planted"))


def argv_of(corpus: tuple[Path, Path], out: Path, recipe: str, *settings: str) -> list[str]:
    words = [word for setting in (*SMALL, *MODELS.get(recipe, ()), *settings) for word in ("--set", setting)]
    folders = ["--tracks", str(corpus[0]), "--labels", str(corpus[1]), "--out", str(out)]
    return ["train-frames", *folders, "--task", "va", "--recipe", recipe, "--device", "cpu", *words]


def launch(world: int, argv: list[str]) -> "subprocess.CompletedProcess[str]":
    folder = Path(sys.executable)
    torchrun = [str(folder.with_name("torchrun")), "--standalone", "--no-python", "--nproc-per-node", str(world)]
    command = [*torchrun, str(folder.with_name("avf-train")), *argv]
    return subprocess.run(command, timeout=500, capture_output=True, text=True, check=False, env=dict(os.environ))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", MODELS)
def test_any_number_of_processes_gives_the_numbers_of_one(
    corpus: tuple[Path, Path], tmp_path: Path, recipe: str
) -> None:
    assert main(argv_of(corpus, tmp_path / "one", recipe)) == 0
    done = launch(2, argv_of(corpus, tmp_path / "two", recipe))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("protocol ours") == 1, "the first process speaks for all"
    one, two = (read_lines(tmp_path / run / "metrics.jsonl") for run in ("one", "two"))
    assert [row["step"] for row in one] == [row["step"] for row in two]
    # Other dropout or moments of batch norm would change the first steps by percents. Sums over processes round
    # differently, which Adam magnifies from step to step where a gradient is 0 but for rounding.
    for name in ("loss", "grad_norm", "lr"):
        assert [row[name] for row in two[:2]] == pytest.approx([row[name] for row in one[:2]], rel=1e-4)
    assert [row["loss"] for row in two] == pytest.approx([row["loss"] for row in one], rel=1e-2)
    scores = [[row["mean CCC"] for row in read_lines(tmp_path / run / "evaluation.jsonl")] for run in ("one", "two")]
    assert scores[1] == pytest.approx(scores[0], abs=0.01)
    results = [json.loads((tmp_path / run / "result.json").read_text()) for run in ("one", "two")]
    assert results[0]["trained_videos"] == results[1]["trained_videos"]
    shapes = [
        {name: tensor.shape for name, tensor in load_file(tmp_path / run / "model/model.safetensors").items()}
        for run in ("one", "two")
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.slow
def test_two_branches_are_trained_alike_and_a_run_goes_on_in_another_world(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    assert main(argv_of(corpus, tmp_path / "base", "netease_fusion")) == 0
    branches = "model=fusion_two_branches", f"base={tmp_path / 'base'}", "epochs=2", "patience=null"
    assert main(argv_of(corpus, tmp_path / "one", "netease_fusion", *branches)) == 0
    single = read_lines(tmp_path / "one/metrics.jsonl")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    (tmp_path / "two/result.json").unlink()
    shutil.rmtree(tmp_path / "two/checkpoints")
    done = launch(2, argv_of(corpus, tmp_path / "two", "netease_fusion", *branches))
    assert done.returncode == 0, done.stderr[-2000:]
    two = read_lines(tmp_path / "two/metrics.jsonl")
    assert [row["loss"] for row in two[:2]] == pytest.approx([row["loss"] for row in single[:2]], rel=1e-4)
    assert [row["loss"] for row in two] == pytest.approx([row["loss"] for row in single], rel=1e-2)


def test_a_world_that_does_not_share_the_batch_is_one_sentence() -> None:
    recipe = FrameRecipe(model="temporal_v5", visual=("looks",), batch=12, micro_batch=3)
    assert [recipe.parts(12, world) for world in (1, 2, 4)] == [4, 4, 4]
    assert FrameRecipe(model="temporal_v5", visual=("looks",)).parts(64, 1) == 1
    with pytest.raises(UserError, match="3 processes cannot share a batch of 12 windows in micro-batches of 3; take"):
        recipe.parts(12, 3)
    with pytest.raises(UserError, match="2 processes cannot share a batch of 64 windows in micro-batches of 64"):
        FrameRecipe(model="temporal_v5", visual=("looks",)).parts(64, 2)
    with pytest.raises(ValueError, match="micro_batch 5 must divide the batch of 12, or be null"):
        FrameRecipe(model="temporal_v5", visual=("looks",), batch=12, micro_batch=5)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_what_runs_in_one_process_refuses_several_before_it_reads_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rank: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    for name in ("tracks", "labels"):
        (tmp_path / name).mkdir()
    folders = (tmp_path / "tracks", tmp_path / "labels")
    assert main(argv_of(folders, tmp_path / "run", "sun_kernel_elm", "visual=[looks]", "micro_batch=null")) == 2
    message = "runs in one process, and torchrun started 2; start it without torchrun"
    assert f"kernel_elm is fitted at once: it {message}" in capsys.readouterr().err
    nothing = str(tmp_path / "nothing")
    argv = ["train-speech", nothing, "--labels", nothing, "--voice", nothing, "--encoder", nothing]
    assert main([*argv, "--recipe", "sun_v3", "--out", str(tmp_path / "run")]) == 2
    assert f"train-speech {message}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_what_every_process_refuses_is_written_once(tmp_path: Path) -> None:
    nothing = (tmp_path / "no tracks", tmp_path / "no labels")
    done = launch(2, argv_of(nothing, tmp_path / "run", "sun_temporal"))
    assert done.returncode != 0
    assert done.stderr.count("avf-train: ") == 1, done.stderr


@pytest.mark.parametrize(("rank", "seconds"), [("0", []), ("1", [5.0]), ("x", [])])
def test_other_ranks_wait_until_rank_0_has_written_an_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rank: str,
    seconds: list[float],
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    waited: list[float] = []
    monkeypatch.setattr("avf_training.distributed.environment.time.sleep", waited.append)
    assert main(["tracks", str(tmp_path / "nothing")]) == 2
    assert waited == seconds
    assert "no such folder" in capsys.readouterr().err, "a rank that was not ended meanwhile writes its own"


def test_parts_have_dropout_and_batch_norm_of_their_own_whoever_computes_them() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 1)).train()
    x_B4 = torch.randn(8, 4)
    seeds = seeds_of_parts(7, range(4))
    assert len(set(seeds)) == 4
    assert seeds[0] == 7
    norm = net[1]
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None
    start = norm.running_mean.clone()

    def predict(first: int) -> torch.Tensor:
        return run_in_parts(net, seeds[first:], lambda part: net(x_B4[2 * (first + part) : 2 * (first + part) + 2]))

    whole = predict(0)
    after = norm.running_mean
    whole.square().mean().backward()  # the statistics that moved do not disturb the backward pass
    norm.running_mean = start.clone()
    torch.testing.assert_close(predict(2), whole[4:])
    with torch.no_grad():
        means = torch.stack([net[0](x_B4[2 * part : 2 * part + 2]).mean(0) for part in range(4)])
    torch.testing.assert_close(after, 0.9 * start + 0.1 * means.mean(0))
    assert int(norm.num_batches_tracked or 0) == 2, "a batch counts once"
