"""Two processes: FSDP2 trains as DDP does, an overflow skips the step on both ranks, negatives are gathered."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Relative spacing of the numbers that activations are computed in. FSDP2 takes sums in another order than DDP does,
# so losses and norms differ by some spacings. AdamW divides a gradient by its own size: where the gradient is smaller
# than the rounding noise (a share of about one spacing), the update may have any sign; hence the root for the weights.
EPSILON = {"fp32": 2.0**-23, "fp16": 2.0**-10}
LOSS_EPSILONS = 64
SUPPORT = Path(__file__).parents[2] / "support"


def run_on_two_ranks(script: Path) -> Any:
    """Run a script in two processes and return what rank 0 prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    values: dict[str, Any] = run_on_two_ranks(SUPPORT / "two_ranks.py")
    return values


@pytest.mark.slow
def test_a_process_opens_several_groups_in_a_row() -> None:
    """The ranks of the second group once read the addresses of the first, and failed or waited for ever."""
    assert run_on_two_ranks(SUPPORT / "two_groups.py") == [1, 21, 41, 61], "the sum of both ranks in each group"


@pytest.mark.slow
def test_both_ranks_leave_a_group_to_which_ddp_still_refers() -> None:
    """DDP's reducer once freed the group while it held the lock that the group's thread waited for, for ever."""
    assert run_on_two_ranks(SUPPORT / "two_ends.py") == 20


def test_fsdp_trains_as_ddp_does(results: dict[str, Any]) -> None:
    assert results["fp32"]["fsdp"] == pytest.approx(results["fp32"]["ddp"], rel=LOSS_EPSILONS * EPSILON["fp32"])
    assert results["fp32"]["weights_off"] < EPSILON["fp32"] ** 0.5
    assert results["fp32"]["names"], "both give the whole model's tensors"


def test_a_probe_runs_on_rank_0_and_its_error_ends_both_ranks(results: dict[str, Any]) -> None:
    error = "a clip is unreadable"
    assert results["probe"]["ranks"] == [[{"probe": 0.5}, error, [0, 1]], [{}, error, []]]


def test_an_overflow_on_one_rank_skips_the_step_on_both(results: dict[str, Any]) -> None:
    assert results["fp16"]["scales"] == [512.0, 512.0], "halved once"
    assert results["fp16"]["finite"]
    losses = pytest.approx(results["fp16"]["ddp"], rel=LOSS_EPSILONS * EPSILON["fp16"], nan_ok=True)
    assert results["fp16"]["fsdp"] == losses
    assert results["fp16"]["weights_off"] < EPSILON["fp16"] ** 0.5


def test_gathered_negatives_give_the_loss_of_the_whole_batch(results: dict[str, Any]) -> None:
    contrastive = results["contrastive"]
    assert contrastive["gathered"] == pytest.approx(contrastive["all_negatives"], rel=1e-6)
    assert contrastive["own_negatives"] < contrastive["all_negatives"] - 1, "fewer negatives"
    assert contrastive["gradient_off"] < 1e-6
