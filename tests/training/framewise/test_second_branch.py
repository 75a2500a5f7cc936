"""NetEase's second branch through `train-frames`: what it starts from, learns from, and what is refused."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from avf_training.cli.main import main
from avf_training.framewise.models.two_branches import TwoBranchFusion
from avf_training.framewise.sampling.hard_clips import draw_hard_clips
from avf_training.framewise.tracks.feature_track import read_track
from avf_training.framewise.tracks.track_folder import TrackFolder
from avf_training.framewise.training import frame_objective
from avf_training.framewise.training.frame_network import load_frame_network
from support.planted_tracks import VIDEOS, write_planted_corpus, write_planted_track

SETTINGS = (
    *("visual=[looks,more_looks]", "audio=[sounds]", "window=50", "hidden=[16,16,8]", "schedule=constant"),
    *("batch=8", "epochs=12", "rate=0.003", "lowest_rate=0.0005", "threads=1", "normalization=standard"),
    *("evaluate_every=4", "class_weights=none"),
)


def train(corpus: tuple[Path, Path], out: Path, recipe: str, *settings: str, task: str = "va") -> int:
    words = [word for setting in (*SETTINGS, *settings) for word in ("--set", setting)]
    argv = ["--tracks", str(corpus[0]), "--labels", str(corpus[1]), "--task", task, "--recipe", recipe]
    return main(["train-frames", *argv, "--out", str(out), "--device", "cpu", *words])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_planted_corpus(tmp_path_factory.mktemp("planted"))


def test_a_base_of_a_network_without_a_second_branch_is_refused(
    corpus: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(corpus, tmp_path / "run", "netease_fusion", f"base={tmp_path}") == 2
    assert f"base={tmp_path}: fusion_transformer has no frozen branch" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def base(corpus: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "base"
    assert train(corpus, run, "netease_fusion") == 0
    return run


def best_model(run: Path) -> Path:
    return run / str(json.loads((run / "result.json").read_text())["best"]["score"]["folder"])


def test_the_second_branch_learns_beside_the_frozen_one_and_predicts_as_every_model(
    corpus: tuple[Path, Path], base: Path, tmp_path: Path
) -> None:
    run = tmp_path / "both"
    settings = (f"base={base}",)
    assert train(corpus, run, "netease_two_branches", *settings) == 0
    result = json.loads((run / "result.json").read_text())
    assert result["model"] == "fusion_two_branches"
    assert result["best"]["score"]["score"] > 0.4, "a constant has a CCC of 0"
    both, alone = load_frame_network(best_model(run)), load_frame_network(best_model(base))
    assert isinstance(both.net, TwoBranchFusion)
    for name, tensor in alone.net.state_dict().items():
        assert torch.equal(both.net.base.state_dict()[name], tensor), "the frozen branch is the best model of its run"
    assert not torch.equal(both.net.hard.reduce.weight, both.net.base.reduce.weight)
    for (name, ours), (_, theirs) in zip(both.named_buffers(), alone.named_buffers(), strict=False):
        assert name.startswith(("net.", "offset", "scale"))
        assert name.startswith("net.") or torch.equal(ours, theirs), name
    predictions = tmp_path / "predictions"
    argv = ["predict-frames", str(run), "--tracks", str(corpus[0]), "--out", str(predictions), "--device", "cpu"]
    assert main(argv) == 0
    files = TrackFolder(predictions).files()
    assert len(files) == len(VIDEOS)
    assert read_track(files[0]).vectors_ND.shape == (400, 2)


@pytest.mark.parametrize("task", ["expr", "au"])
def test_classes_have_a_second_branch_too(corpus: tuple[Path, Path], tmp_path: Path, task: str) -> None:
    assert train(corpus, tmp_path / "base", "netease_fusion", "epochs=4", task=task) == 0
    settings = ("epochs=4", f"base={tmp_path / 'base'}")
    assert train(corpus, tmp_path / "both", "netease_two_branches", *settings, task=task) == 0
    assert json.loads((tmp_path / "both/result.json").read_text())["best"]["score"]["score"] > 0


def test_a_run_of_two_branches_that_is_stopped_goes_on_with_the_same_bits(
    corpus: tuple[Path, Path], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(base, moved)
    assert train(corpus, tmp_path / "whole", "netease_two_branches", "epochs=6", f"base={base}") == 0
    calls, loss = [0], frame_objective.two_label_loss

    def stop_once(*values: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == 10:
            signal.raise_signal(signal.SIGTERM)
        return loss(*values, **named)

    monkeypatch.setattr(frame_objective, "two_label_loss", stop_once)
    assert train(corpus, tmp_path / "run", "netease_two_branches", "epochs=6", f"base={base}") == 0
    assert not (tmp_path / "run/result.json").exists()
    # The base may have moved: its weights are what counts.
    assert train(corpus, tmp_path / "run", "netease_two_branches", "epochs=6", f"base={moved}") == 0
    for name in ("metrics.jsonl", "evaluation.jsonl", "result.json", "model/model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_the_hard_clips_of_the_base_are_those_that_the_second_branch_sees(
    corpus: tuple[Path, Path], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from avf_training.framewise.training import train_frames

    losses: list[Any] = []
    seen: set[int] = set()

    def remember(*values: Any) -> Any:
        losses.append(train_frames_measure(*values))
        return losses[-1]

    train_frames_measure = train_frames.measure_clips
    monkeypatch.setattr(train_frames, "measure_clips", remember)
    draw = train_frames.HardClipLoader._draw_orders

    def note(self: Any, epoch: int) -> Any:
        orders = draw(self, epoch)
        seen.update(orders[1].tolist())
        assert set(orders[1].tolist()) == set(
            draw_hard_clips(losses[0], seed=20, epoch=epoch, hard_share=0.25).tolist()
        )
        return orders

    monkeypatch.setattr(train_frames.HardClipLoader, "_draw_orders", note)
    settings = ("epochs=2", "hard_share=0.25", "patience=null", f"base={base}")
    assert train(corpus, tmp_path / "run", "netease_two_branches", *settings) == 0
    assert len(losses[0]) == 48, "six videos of eight clips"
    assert np.isfinite(losses[0]).all()
    assert set(np.argsort(-losses[0], kind="stable")[:12].tolist()) <= seen
    steps = len((tmp_path / "run/metrics.jsonl").read_text().splitlines())
    assert steps == 2 * (24 // 8), "an epoch is as long as the hard clips and as many others"


def test_a_base_that_does_not_fit_is_named(
    corpus: tuple[Path, Path], base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"

    def refuse(message: str, *settings: str, task: str = "va", data: tuple[Path, Path] = corpus) -> None:
        assert train(data, run, "netease_two_branches", *settings, task=task) == 2
        assert message in capsys.readouterr().err
        assert not run.exists(), "a refused start leaves no folder"

    refuse("needs a finished run of fusion_transformer, whose model is its frozen branch: --set base=RUN")
    refuse("is no finished run of `avf-train train-frames`", f"base={tmp_path}")
    refuse("is a run of fusion_transformer for va; the frozen branch is", f"base={base}", task="au")
    refuse("fold None there and 1 here", f"base={base}", "fold=1")
    refuse("hidden (16, 16, 8) there and (8, 16, 8) here", f"base={base}", "hidden=[8,16,8]")
    refuse("protocol_options.fusion_head bn_mlp there", f"base={base}", "protocol_options={fusion_head: linear}")
    refuse("hard_share 0.0 must be above 0 and at most 1", f"base={base}", "hard_share=0.0")
    others = tmp_path / "tracks"
    shutil.copytree(corpus[0], others)
    shutil.rmtree(others / "sounds")
    for video in VIDEOS:
        write_planted_track(others, "sounds", video, weights="ef")
    refuse("was trained on tracks of other weights of sounds", f"base={base}", data=(others, corpus[1]))
    lost = tmp_path / "lost"
    shutil.copytree(base, lost)
    shutil.rmtree(lost / "best")
    refuse("lacks the model of its best epoch", f"base={lost}")
