"""The peak that MFU is of counts each part of a model against the device's peak in its number type."""

from pathlib import Path

import pytest
import torch
from avf_training.config.pretrain import load_recipe
from avf_training.models import flops
from avf_training.models.config import Precision
from avf_training.models.flops import PeakFlops, peak_flops, training_flops
from avf_training.models.summary import single_precision_share
from support.models import tiny_config

SCALING = Path(__file__).parents[3] / "docs/scaling.md"
PEAKS = {"fp16": 900e12, "bf16": 900e12, "TF32": 450e12, "fp32": 60e12}


@pytest.fixture
def known_peaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flops, "_peak_of_kind", lambda _, kind: PeakFlops(flops_per_s=PEAKS[kind], source=kind))


@pytest.mark.usefixtures("known_peaks")
def test_decoders_in_fp32_count_against_the_peak_in_fp32() -> None:
    model, device = tiny_config(), torch.device("cpu")
    paper = Precision(compute="fp16")
    share = single_precision_share(model, paper)
    assert 0.1 < share < 0.9
    peak = peak_flops(device, paper, model)
    seconds = (1 - share) / PEAKS["fp16"] + share / PEAKS["fp32"]
    assert peak.flops_per_s == pytest.approx(1 / seconds, rel=1e-12)
    assert peak.source == f"fp16 for {1 - share:.0%}, fp32 for {share:.0%}"
    with_tf32 = peak_flops(device, Precision(compute="fp16", tf32=True), model).flops_per_s
    assert with_tf32 == pytest.approx(1 / ((1 - share) / PEAKS["fp16"] + share / PEAKS["TF32"]), rel=1e-12)
    everywhere = Precision(compute="bf16", fp32_decoder=False)
    assert single_precision_share(model, everywhere) == 0
    assert peak_flops(device, everywhere, model).flops_per_s == PEAKS["bf16"]
    assert peak_flops(device, Precision(compute="fp32"), model).flops_per_s == PEAKS["fp32"]


def test_the_arithmetic_of_both_recipes_in_the_docs_is_that_of_the_models() -> None:
    text = SCALING.read_text("utf-8")
    paper, fast = load_recipe("avfmaepp_b"), load_recipe("fast")
    total = training_flops(paper.model_config()) / 1e9
    single = total * single_precision_share(paper.model_config(), paper.precision)
    for figure in (f"{total - single:.1f} GFLOP a clip", f"{single:.1f} GFLOP a clip", f"{total:.1f} GFLOP a clip"):
        assert figure in text
    assert f"{67e3 / single:,.0f} for the decoders alone" in text
    assert f"ms = {1 / ((total - single) / 316e3 + single / 67e3):,.0f} with the rest" in text
    assert f"{316e3 / total:,.0f}\n" in text
    assert single_precision_share(fast.model_config(), fast.precision) == 0
    assert (fast.precision.compute, fast.precision.tf32, paper.precision.tf32) == ("bf16", True, False)
