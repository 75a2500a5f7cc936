"""`python -m benchmarks.gpu` on a CPU: every part runs, none runs twice, and the page says which are missing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu.__main__ import choose_parts
from benchmarks.gpu.check_scaler import leave_out
from benchmarks.gpu.parts import PARTS as PARTS_IN_ORDER

ROOT = Path(__file__).parents[2]
# The steps of the other models run the same code.
PARTS = (
    *("models", "transforms", "training", "compile", "step_avfmaepp_b", "step_hicmae_b", "profile", "data"),
    *("finetuning_costs", "recipes", "step_memory", "probe_cost"),
)


# The frame-level side, the detectors and CUDA graphs.
OTHER_PARTS = ("frames_models", "frames_training", "frames_speed", "detectors", "cuda_graphs")


def run_benchmark(out: Path, *options: str) -> str:
    """Run the command as a dry run on the CPU; return what it prints."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--out", str(out), "--device", "cpu", "--tiny", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_dry_run_passes_and_is_not_repeated(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_benchmark(out, *PARTS)
    results = {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}
    assert results.keys() == set(PARTS)
    assert all(result["finished"] and result["schema_version"] == 1 for result in results.values())
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    run_benchmark(out, *PARTS, "--page", str(tmp_path / "gpu.md"))
    assert before == {path: path.stat().st_mtime_ns for path in out.iterdir()}
    page = (tmp_path / "gpu.md").read_text()
    assert page.count("A dry run") == len(PARTS)
    assert "### step avfmaepp h\n\nNot measured." in page


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", OTHER_PARTS)
def test_dry_run_of_each_other_part_passes_with_figures_in_every_row(tmp_path: Path, part: str) -> None:
    run_benchmark(tmp_path, part)
    result = json.loads((tmp_path / f"{part}.json").read_text())
    assert result["finished"]
    rows = [row for rows in result["tables"].values() for row in rows]
    assert rows
    assert not [row for row in rows if row.get("note") or row.get("error")]


def test_parts_run_in_the_order_in_which_they_are_named() -> None:
    names = ["step_hicmae_t", "models", "correctness"]
    chosen = [part.name for part in choose_parts(names)]
    assert chosen[:2] == names[:2]
    assert chosen[2:] == [part.name for part in PARTS_IN_ORDER if part.group == "correctness" and part.name != "models"]
    assert choose_parts([]) == list(PARTS_IN_ORDER)


def test_page_says_which_parts_were_not_measured(tmp_path: Path) -> None:
    run_benchmark(tmp_path / "out", "transforms", "--page", str(tmp_path / "gpu.md"))
    page = (tmp_path / "gpu.md").read_text()
    assert "All checks passed." in page
    assert "### training\n\nNot measured." in page


def test_a_run_beside_fp16_leaves_out_the_updates_that_its_scaler_skipped() -> None:
    weight = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    values = []
    with leave_out(frozenset({1, 2})):
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        for _ in range(5):
            weight.grad = torch.tensor(-1.0)
            scaler.step(optimizer)
            values.append(float(weight))
    assert values == [1, 1, 1, 2, 3]
    assert not isinstance(torch.amp.GradScaler("cpu", enabled=False), type(scaler)), "only within the context"
