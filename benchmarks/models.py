"""Measure a pre-training step of our models against a plain HiCMAE B, and against the ratio of multiply-adds."""

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from avf_training.conversion.authors_state_dict import authors_names, to_authors_names
from avf_training.models.config import ModelConfig, Precision
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.mask_sampling import Masker, paper_masks
from avf_training.models.masks import Masks
from avf_training.models.presets import PRESETS
from avf_training.models.summary import forward_gmacs
from avf_training.objectives.pretraining_loss import pretraining_losses

from benchmarks.plain_hicmae import PlainHiCMAE
from benchmarks.table import Section

BATCH, ROUNDS = 16, 3
PLAIN = "plain"
PRECISIONS = {name: Precision(compute=name, fp32_decoder=False) for name in ("fp32", "bf16")}


@dataclass(frozen=True, kw_only=True)
class Step:
    """A pre-training step of one model with fixed inputs."""

    run: Callable[[], float]  # forward, backward and optimizer; returns the loss
    gmacs: float  # multiply-adds of the forward pass of a clip, in billions; NaN for the plain model


def best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def make_step(name: str, precision: Precision, device: str) -> Step:
    """Return a step of the preset `name`, or of the plain model if `name` is PLAIN."""
    config = PRESETS["hicmae_b" if name == PLAIN else name]
    torch.manual_seed(0)
    video = torch.randn(BATCH, *config.geometry.video_shape, device=device)
    audio = torch.randn(BATCH, *config.geometry.audio_shape, device=device)
    masker, random = Masker(config, paper_masks(config)), np.random.default_rng(0)
    masks = Masks.stack([masker.sample(random) for _ in range(BATCH)], device)
    model: torch.nn.Module = MaskedAutoencoder(config, precision.fp32_decoder)
    gmacs = forward_gmacs(config)
    if name == PLAIN:
        plain = PlainHiCMAE(config)
        plain.load_state_dict(to_authors_names(model.state_dict(), authors_names(model)))
        model, gmacs = plain, float("nan")
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-5, fused=True)
    hidden = tuple(_hidden(visible, total) for visible, total in _visible(masks, config))

    def loss() -> torch.Tensor:
        with precision.autocast(device):
            if isinstance(model, PlainHiCMAE):
                total: torch.Tensor = model(video, audio, *hidden)
                return total
            out = model(video, audio, masks)
        return pretraining_losses(out, video, audio, masks, config).total

    def run() -> float:
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value.item()

    return Step(run=run, gmacs=gmacs)


def _visible(masks: Masks, config: ModelConfig) -> list[tuple[torch.Tensor, int]]:
    geometry = config.geometry
    return [(masks.video_visible_BV, geometry.video_tokens), (masks.audio_visible_BV, geometry.audio_tokens)]


def _hidden(visible_BV: torch.Tensor, total: int) -> torch.Tensor:
    return torch.ones(len(visible_BV), total, dtype=torch.bool, device=visible_BV.device).scatter(1, visible_BV, False)


def measure_steps(names: list[str], precision: Precision, device: str, rounds: int) -> dict[str, float]:
    """Return the median seconds of a step of each model; each round runs all models in turn."""
    steps = {name: make_step(name, precision, device) for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step.run()
            if number:
                times[name].append(time.perf_counter() - start)
    del steps
    gc.collect()
    return {name: statistics.median(seconds) for name, seconds in times.items()}


_PEAK = """
import torch
torch.set_num_threads({threads})
from benchmarks.models import PRECISIONS, make_step
step = make_step({name!r}, PRECISIONS["bf16"], "cpu")
step.run(); step.run()
lines = dict(line.split(":", 1) for line in open("/proc/self/status"))  # ru_maxrss would carry the parent's over
print(int(lines["VmHWM"].split()[0]) / 1e6)
"""


def peak_gb(name: str) -> float:
    """Return the peak memory in GB of a separate process that runs two steps in bf16."""
    code = _PEAK.format(name=name, threads=torch.get_num_threads())
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(process.stdout.split()[-1])


def loss_difference(device: str) -> float:
    """Return the difference between the losses of the plain model and ours, with the same weights and masks, in fp32."""
    return abs(
        make_step(PLAIN, PRECISIONS["fp32"], device).run() - make_step("hicmae_b", PRECISIONS["fp32"], device).run()
    )


def run() -> list[Section]:
    device = best_device()
    torch.set_num_threads(2)
    gap = loss_difference(device)
    sections = []
    names = [PLAIN, "hicmae_b", "table20_improved_lgi", "avfmaepp_b"]
    peaks = {name: peak_gb(name) for name in [*names, "avfmaepp_l", "avfmaepp_h"]}
    for kind, precision in PRECISIONS.items():
        seconds = measure_steps(names, precision, device, ROUNDS)
        sections.append(_against(kind, seconds, peaks if kind == "bf16" else None, device, gap))
    sections.append(
        _sizes(measure_steps(["avfmaepp_b", "avfmaepp_l", "avfmaepp_h"], PRECISIONS["bf16"], device, 3), peaks, device)
    )
    return sections


def _against(kind: str, seconds: dict[str, float], peaks: dict[str, float] | None, device: str, gap: float) -> Section:
    titles = {
        PLAIN: ("plain eager HiCMAE B", "", ""),
        "hicmae_b": ("our HiCMAE B", "1.5", ""),
        "table20_improved_lgi": ("Table 20 row: dual masking, improved LGI, HiCMAE's fusion", "1.46", "1.21"),
        "avfmaepp_b": ("AVF-MAE++ B", "1.8", "1.07"),
    }
    base = forward_gmacs(PRESETS["hicmae_b"])
    rows = [
        [
            "",
            "s a step",
            "against plain",
            "target",
            "against our HiCMAE B",
            "expected by multiply-adds",
            "by our multiply-adds",
            "peak GB",
        ]
    ]
    for name, (title, target, expected) in titles.items():
        config = PRESETS.get(name)
        rows.append(
            [
                title,
                f"{seconds[name]:.2f}",
                f"{seconds[PLAIN] / seconds[name]:.2f}",
                target,
                f"{seconds['hicmae_b'] / seconds[name]:.2f}" if config else "",
                expected,
                f"{base / forward_gmacs(config):.2f}" if config else "",
                f"{peaks[name]:.1f}" if peaks else "",
            ]
        )
    note = (
        f"{BATCH} clips on {device} with {torch.get_num_threads()} threads, {'one autocast to ' if kind != 'fp32' else ''}{kind}, "
        f"AdamW fused, medians of {ROUNDS} rounds in turn. Same weights and masks: plain and our HiCMAE B differ by "
        f"{gap:.0e} in the loss. Eager, no compile. Peak: of the process, with parameters and optimizer."
    )
    return Section(f"Pre-training step, {kind}", note, rows)


def _sizes(seconds: dict[str, float], peaks: dict[str, float], device: str) -> Section:
    paper = {"avfmaepp_b": 85.87, "avfmaepp_l": 88.58, "avfmaepp_h": 93.52}
    base = forward_gmacs(PRESETS["avfmaepp_b"])
    rows = [["", "s a step", "against B", "by arithmetic", "paper's hours, against B", "peak GB"]]
    for name, hours in paper.items():
        rows.append(
            [
                f"AVF-MAE++ {name[-1].upper()}",
                f"{seconds[name]:.2f}",
                f"{seconds[name] / seconds['avfmaepp_b']:.2f}",
                f"{forward_gmacs(PRESETS[name]) / base:.2f}",
                f"{hours} h, {hours / 85.87:.2f}",
                f"{peaks[name]:.1f}",
            ]
        )
    note = (
        f"{BATCH} clips on {device}, {torch.get_num_threads()} threads, bf16. The paper's hours hardly grow from B to H, so its "
        "eight A6000 were waiting for something else than arithmetic; here the step is bound by it."
    )
    return Section("Sizes B, L, H", note, rows)
