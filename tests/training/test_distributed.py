"""Two processes: FSDP2 trains as DDP does, one that overflows stops both, and negatives are gathered with gradients."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "support/two_ranks.py"


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(SCRIPT)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answers


def test_sharded_is_as_copied(told: dict[str, Any]) -> None:
    assert told["fp32"]["fsdp"] == pytest.approx(told["fp32"]["ddp"], rel=1e-5)
    assert told["fp32"]["worst"] < 1e-3
    assert told["fp32"]["names"], "both give the whole model's tensors"


def test_an_overflow_on_one_rank_skips_the_step_on_both(told: dict[str, Any]) -> None:
    assert told["fp16"]["scales"] == [512.0, 512.0], "halved once"
    assert told["fp16"]["finite"]
    assert told["fp16"]["worst"] < 1e-3


def test_gathered_negatives_are_the_whole_batch(told: dict[str, Any]) -> None:
    found = told["contrastive"]
    assert found["gathered"] == pytest.approx(found["whole"], rel=1e-6)
    assert found["own"] < found["whole"] - 1, "fewer negatives"
    assert found["gradient_off"] < 1e-6
