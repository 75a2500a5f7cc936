"""Short pre-training runs in processes of their own."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.waiting import wait_until

#: Every part of `nano`, each as shallow as it can be: half of the time of a step.
SHALLOW = (
    "variant={video: {depth: 2, decoder_depth: 1}, audio: {depth: 2, decoder_depth: 1}, skips: [1], fusion_depth: 1}"
)
QUICK = (
    "steps=6",
    "warmup_steps=2",
    "batch=4",
    "micro_batch=4",
    "workers=0",
    "threads=1",
    "log_every=2",
    "eval_every=0",
)
SAVE = ("checkpoint_every=2", "checkpoint_keep=9")


def pretrain_command(shards: Path | str, out: Path | str, *settings: str) -> list[str]:
    """Return the words after `python` of a short run."""
    sets = [word for setting in (*QUICK, *SAVE, *settings) for word in ("--set", setting)]
    return [
        "-m",
        "avf_training.cli.main",
        "pretrain",
        "--recipe",
        "nano",
        "--shards",
        str(shards),
        "--out",
        str(out),
        *sets,
    ]


def read_metrics(out: Path) -> list[dict[str, float]]:
    """Return the rows of the curve, one a step."""
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def start_training(
    shards: Path | str, out: Path | str, *settings: str, launcher: Sequence[str] = ()
) -> "subprocess.Popen[str]":
    """Start a short run of a shallow model in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, *launcher, *pretrain_command(shards, out, SHALLOW, *settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_lines(running: "subprocess.Popen[Any]", out: Path, lines: int) -> None:
    """Wait until the curve has so many lines, or the run has ended."""
    file = out / "metrics.jsonl"
    wait_until(
        lambda: running.poll() is not None or (file.is_file() and len(file.read_text().splitlines()) >= lines),
        f"{lines} lines of {file.name}",
    )
