"""avf-train describe, reconstruct, bench and estimate on the command line."""

import argparse
import json
import sys
from pathlib import Path

import pytest
from avf_curation.demo.video import ShotScript, VideoScript, encode_video
from avf_curation.runs.curation import RunOptions, curate
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from avf_training.cli.main import build_parser, main
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.presets import PRESETS
from avf_training.pretraining.reconstruction_figure import reconstruct_clip
from avf_training.trainer.run_folder import freeze_identity
from support.curation_runs import EMBEDDED, make_recipe


def test_describe_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "hicmae_t", "nano", "--batch", "2", "--json", "-"]) == 0
    tiny, nano = json.loads(capsys.readouterr().out)
    assert tiny["finetune"]["parameters"] == 20_478_495
    assert tiny["finetune"]["gmacs"] == pytest.approx(13.81, abs=0.01)  # the paper: 14
    assert sum(tiny["pretrain"]["parts"].values()) == tiny["pretrain"]["parameters"]
    assert tiny["tokens"]["video seen"] == 80
    assert nano["tokens"]["audio decoder"] == 88
    assert nano["tokens"]["video seen"] == 16
    assert 0 < nano["pretrain"]["activation_bytes"] < tiny["pretrain"]["activation_bytes"]


def test_describe_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "nano", "--modalities", "v", "--batch", "2", "--precision", "fp32"]) == 0
    output = capsys.readouterr().out
    assert "nano" in output
    assert max(map(len, output.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["describe", "hicmea_b"], "unknown model; did you mean 'hicmae_b'?"),
        (["describe", "nano", "--batch", "1"], "--batch 1 must be at least 2"),
        (["reconstruct", "gone", "--out", "x.png"], "gone: no such file or folder"),
        (["benchmark", "gone"], "gone: has no manifest.json"),
        (["benchmark", "gone", "--clips", "0"], "--clips 0 must be above 0"),
        (["reconstruct", ".", "--out", "x.png", "--ratios", "0.9"], "--ratios 0.9: must look like"),
        (["reconstruct", ".", "--out", "x.png", "--preset", "nan"], "unknown model; did you mean 'nano'?"),
        (
            ["reconstruct", ".", "--out", "x.png", "--model", "none"],
            "none: holds no saved model and no finished run",
        ),
        (["reconstruct", ".", "--out", "x.png", "--model", "m", "--preset", "nano"], "leave --preset out"),
    ],
)
def test_an_invalid_request_ends_with_one_sentence(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards with one talking face."""
    folder = tmp_path_factory.mktemp("talk")
    (folder / "in").mkdir()
    (folder / "in/talk.mp4").write_bytes(
        encode_video(VideoScript(shots=(ShotScript(frames=100, speakers=(0,), seed=1),)))
    )
    run = curate(make_recipe(), EMBEDDED, {"s": folder / "in"}, folder / "run", RunOptions(engine="inline"))
    pack_shards(run, folder / "shards", Selection())
    return folder / "shards"


def test_reconstruct_draws_an_untrained_and_a_saved_model(shards: Path, tmp_path: Path) -> None:
    from matplotlib.image import imread

    out = tmp_path / "untrained.png"
    assert main(["reconstruct", str(shards), "--out", str(out), "--preset", "nano"]) == 0
    picture = imread(out)
    assert picture.shape[0] > 300
    assert picture.shape[1] > 900
    assert picture[..., :3].std() > 0.15
    MaskedAutoencoder(PRESETS["nano"]).save_pretrained(tmp_path / "model")
    arguments = ["--model", str(tmp_path / "model"), "--ratios", "0.75:0.5"]
    assert main(["reconstruct", str(shards), "--out", str(tmp_path / "saved.png"), *arguments]) == 0
    assert imread(tmp_path / "saved.png").shape[0] < picture.shape[0]


def test_reconstruct_refuses_invalid_ratios_and_keys(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = ["reconstruct", str(shards), "--out", str(tmp_path / "x.png"), "--preset", "nano"]
    assert main([*base, "--ratios", "0.93:0.75"]) == 2
    assert "would fit" in capsys.readouterr().err
    # A key is looked for before the model is imported: torch takes seconds.
    monkeypatch.setitem(sys.modules, "avf_training.pretraining.reconstruction_figure", None)
    assert main([*base, "--key", "nobody"]) == 2
    assert "has no clip 'nobody'" in capsys.readouterr().err


def test_bench_measures_given_shards(shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", str(shards), "--clips", "3", "--json", "-"]) == 0
    cost = json.loads(capsys.readouterr().out)
    parts = {part["name"]: part["ms"] for part in cost["parts"]}
    assert {"read and check", "decode, reference frames", "decode, all frames", "sound"} <= parts.keys()
    assert all(ms > 0 for ms in parts.values())
    assert cost["worker_ms"] > parts["decode, reference frames"] / 2
    assert cost["cores"] == pytest.approx(cost["worker_ms"] / 1000 * 164 / 0.2)
    assert main(["benchmark", str(shards), "--clips", "3"]) == 0
    assert "bound by" in capsys.readouterr().out


def test_a_perfect_prediction_gives_the_original_frames() -> None:
    """The picture's arithmetic undoes the targets': with targets as predictions it shows the original everywhere."""
    import torch
    from avf_training.models.mae import ReconstructionOutput
    from avf_training.models.mask_sampling import MaskConfig
    from avf_training.models.masks import Masks
    from avf_training.objectives.targets import audio_targets, video_targets
    from support.models import random_batch, tiny_config

    config = tiny_config()
    video, audio = random_batch(config, 1)
    assert video is not None
    assert audio is not None
    video = (video * 0.3).clamp(-1.5, 1.5)

    class Perfect(MaskedAutoencoder):
        def forward(self, video_BCTHW: torch.Tensor, audio_B1MF: torch.Tensor, masks: Masks) -> ReconstructionOutput:
            return ReconstructionOutput(
                video_BMP=video_targets(video_BCTHW, masks.video_target_BM, self.config.geometry),
                audio_BMP=audio_targets(audio_B1MF, masks.audio_target_BM, self.config.geometry),
                levels=(),
            )

    reconstruction = reconstruct_clip(
        Perfect(config), video, audio, MaskConfig(video_ratio=0.9, audio_ratio=0.75, decoder_ratio=0.0), 1
    )
    assert reconstruction.video is not None
    for part in reconstruction.parts.values():
        torch.testing.assert_close(torch.from_numpy(part.filled), torch.from_numpy(part.original), atol=1e-5, rtol=0)
    hidden = torch.from_numpy(reconstruction.video.visible).isnan().float().mean()
    assert hidden == pytest.approx(0.9)


def test_estimate_prints_measured_cost_and_the_papers_cost(shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["estimate", "--recipe", "avfmaepp_b", "--shards", str(shards), "--set", "workers=0", "--steps", "1"]
    assert main(command) == 2
    assert "200 epochs of 1 clip are less than one batch of 1312" in capsys.readouterr().err
    assert main([*command, "--set", "epochs=13120", "--json", "-"]) == 0
    estimate = json.loads(capsys.readouterr().out)
    assert (estimate["clips"], estimate["batch"], estimate["devices"], estimate["measured_batch"]) == (1, 1312, 8, 2)
    assert (estimate["steps"], estimate["paper"]["hours"]) == (10, 85.87)
    assert estimate["hours"] == pytest.approx(13120 / estimate["clips_per_s"] / 8 / 3600)
    # 105.6 million parameters: weights, gradients, two moments; and what 164 clips keep.
    assert 10e9 < estimate["memory_bytes"] < 60e9
    assert estimate["peak_bytes"] is None


def test_estimate_prints_sentences(shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["estimate", "--recipe", "hicmae_b", "--shards", str(shards), "--set", "workers=0", "--set", "steps=1000"]
    assert main([*command, "--steps", "1", "--devices", "4"]) == 0
    output = capsys.readouterr().out
    assert "160 = 4 devices x 40 x 1" in output
    assert "1,000 (160000 epochs)" in output
    assert "115.45 h on 8 x RTX A6000" in output
    assert "computed" in output
    assert main([*command, "--devices", "7"]) == 2
    assert "160 is no multiple of 7 processes" in capsys.readouterr().err
    assert main([*command, "--clips", "1"]) == 2


def test_estimate_plans_with_as_many_devices_as_the_batch_can_be_split_over(
    shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["estimate", "--recipe", "nano", "--shards", str(shards), "--set", "workers=0", "--steps", "1"]
    for micro_batch, devices in ((24, 1), (3, 8), (8, 3)):
        assert main([*command, "--set", f"micro_batch={micro_batch}", "--json", "-"]) == 0
        assert json.loads(capsys.readouterr().out)["devices"] == devices


def test_evaluate_pretraining_refuses_a_folder_without_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate-pretraining", "--model", str(tmp_path), "--shards", "x", "--validation", "y"]) == 2
    assert "holds no run (no run.json)" in capsys.readouterr().err
    freeze_identity(tmp_path, {"stage": "train-frames", "recipe": {}}, 0)
    assert main(["evaluate-pretraining", "--model", str(tmp_path), "--shards", "x", "--validation", "y"]) == 2
    assert "name a run of `avf-train pretrain` or `avf-train pretrain-images`" in capsys.readouterr().err
    (tmp_path / "run.json").unlink()
    freeze_identity(tmp_path, {"stage": "pretrain", "recipe": {}}, 0)
    several = ["evaluate-pretraining", "--model", str(tmp_path), "--shards", "x", "--shards", "z", "--validation", "y"]
    assert main(several) == 2
    assert "--shards: 2 folders; a run of `avf-train pretrain` has one, and only image MAE" in capsys.readouterr().err
    (tmp_path / "run.json").unlink()
    assert main(["replay", str(tmp_path), "--shards", "x"]) == 2
    assert "holds no run (no run.json)" in capsys.readouterr().err


def test_a_trained_model_is_always_model_and_a_published_size_always_preset() -> None:
    """Only `convert`, whose subject a checkpoint is, takes it as its first word."""
    (commands,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    for name, parser in commands.choices.items():
        for action in parser._actions:
            words = set(str(action.metavar).replace("=", "|").split("|"))
            if "MODEL" in words and name != "convert":
                assert action.option_strings == ["--model"], name
            if action.option_strings == ["--model"]:
                assert "RUN" in words, name
            if action.metavar == "NAME" and "model" in str(action.help):
                assert action.option_strings == ["--preset"], name


@pytest.mark.parametrize(
    ("arguments", "endings"),
    [
        (["reconstruct", "s", "--out", "x.exe"], ".png, .jpg, .pdf or .svg"),
        (["predict", "s", "--model", "m", "--out", "x.txt"], ".png, .jpg, .pdf, .svg, .csv, .json, .srt, .vtt or .eaf"),
        (["embed", "s", "--model", "m", "--out", "x.csv"], ".parquet"),
        (["export", "--model", "m", "--out", "x.pb"], ".pt2 or .onnx"),
    ],
)
def test_an_ending_of_no_known_format_is_refused_with_the_list(
    arguments: list[str], endings: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert f"{arguments[-1]} must end in {endings}: the ending decides the format" in " ".join(
        capsys.readouterr().err.split()
    )
