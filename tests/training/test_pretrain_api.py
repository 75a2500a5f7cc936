"""Pre-training from Python gives the bytes of the command, refuses with its sentences and goes on after Ctrl-C."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_training.cli.main import main
from avf_training.pretrain_api import PretrainedRun, PretrainOptions, pretrain
from avf_training.trainer.checkpoint import Checkpoints
from support.labelled import make_label_rows, make_labelled_shards
from support.training_runs import SHALLOW

SMALL = {"batch": 4, "micro_batch": 4, "workers": 0, "threads": 1, "eval_every": 0, "log_every": 2, "steps": 4}
SHALLOW_PARTS = {
    "video": {"depth": 2, "decoder_depth": 1},
    "audio": {"depth": 2, "decoder_depth": 1},
    "skips": [1],
    "fusion_depth": 1,
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    make_labelled_shards(folder, {"lab": make_label_rows(4, 2)})
    return folder


def sets(settings: dict[str, object]) -> list[str]:
    return [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]


def test_an_interrupt_leaves_a_run_that_the_same_call_ends_with_the_bytes_of_the_command(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SMALL | {"variant": SHALLOW_PARTS, "checkpoint_every": 2, "warmup_steps": 1}

    def start(out: Path) -> PretrainedRun:
        return pretrain(lab / "shards", out, "nano", settings)

    argv = ["pretrain", "--recipe", "nano", "--shards", str(lab / "shards"), "--out", str(tmp_path / "command")]
    assert main([*argv, *sets(SMALL | {"checkpoint_every": 2, "warmup_steps": 1}), "--set", SHALLOW]) == 0
    save: Callable[..., None] = Checkpoints.save

    def interrupt(self: Checkpoints, step: int, *rest: object) -> None:
        save(self, step, *rest)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            start(tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is before
    assert not (tmp_path / "run/model").exists()
    assert start(tmp_path / "run") == PretrainedRun(folder=tmp_path / "run", step=4, finished=True)
    for name in ("model/model.safetensors", "metrics.jsonl", "run.json", "learned.parquet"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "command" / name).read_bytes(), name


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (["--set", "stepss=3"], {"settings": {"stepss": 3}}),
        (["--set", "optim.base_lr=-1"], {"settings": {"optim": {"base_lr": -1}}}),
        (["--recipe", "nanno"], {"recipe": "nanno"}),
        (["--device", "tpu"], {"options": PretrainOptions(device="tpu")}),
        (["--out", "ftp://host/run"], {"out": "ftp://host/run"}),
        (["--shards", "nowhere"], {"shards": "nowhere"}),
        (["--probe", "nowhere"], {"options": PretrainOptions(probe=["nowhere"])}),
        (
            ["--probe", "nowhere", "--probe-dataset", "nothing"],
            {"options": PretrainOptions(probe=["nowhere"], probe_dataset="nothing")},
        ),
    ],
)
def test_what_the_command_refuses_is_refused_with_its_sentence(
    words: list[str], arguments: dict[str, object], lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = {"shards": lab / "shards", "out": tmp_path / "run", "recipe": "nano"}
    with pytest.raises(UserError) as refusal:
        pretrain(**common | arguments)  # type: ignore[arg-type]  # keyword arguments by case
    argv = [word for name, value in common.items() for word in (f"--{name}", str(value))]
    with pytest.raises(SystemExit) as end:  # of argparse, or of what it has let through
        sys.exit(main(["pretrain", *argv, *words]))
    assert end.value.code == 2
    assert str(refusal.value) in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_value_that_no_recipe_can_hold_is_refused(lab: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"seed: PosixPath\(.* is a PosixPath, which no recipe holds; give a number"):
        pretrain(lab / "shards", tmp_path / "run", "nano", {"seed": tmp_path})


def test_the_import_does_not_load_torch() -> None:
    code = "import sys, avf_training as train; train.pretrain; train.PretrainedRun; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
