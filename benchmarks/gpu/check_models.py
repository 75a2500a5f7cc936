"""Correctness of models, losses, gradients and masks in every precision, and under torch.compile."""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from avf_training.config.pretrain import PretrainRecipe
from avf_training.models.mae import MaskedAutoencoder

from benchmarks.gpu.parity import (
    TOLERANCES,
    Inputs,
    compare,
    random_inputs,
    reference_pass,
    run_pass,
)
from benchmarks.gpu.results import PASSED, Row
from benchmarks.gpu.settings import Settings, precision_for, recipe_for, smallest

_MIXED = ("bf16, decoders TF32", "fp16, decoders fp32")
FIRST = {"hicmae_t": ("fp32", "bf16", "fp16"), "avfmaepp_b": ("fp32", "bf16", "fp16, decoders fp32")}
OTHERS = {
    "hicmae_b": ("fp32", "TF32", "bf16", "fp16"),
    "avfmaepp_b": ("TF32", "fp16", "bf16, decoders TF32"),
    "hicmae_t": ("TF32", *_MIXED),
}
"""Precisions of each model in the part whose rows tell most, and in the part of the others."""
_CLIPS = 4


def run_eager(settings: Settings, precisions: Mapping[str, Sequence[str]] = FIRST) -> Iterator[tuple[str, Row]]:
    """Compare each model with float64 in its precisions, then its masks; float64 itself with the CPU, by the smallest."""
    for name, labels in precisions.items():
        recipe = recipe_for(name, settings)
        model, inputs = _build(recipe), random_inputs(recipe, _CLIPS, seed=len(name))
        reference = reference_pass(model, inputs, settings.device)
        if precisions is FIRST and name == "hicmae_t":
            label: Row = {"model": name, "device": settings.device}
            on_cpu = reference_pass(model, inputs, "cpu")
            yield "Float64 on the device and on the CPU", compare(label, reference, on_cpu, TOLERANCES["float64"])
        model, placed = model.to(settings.device), inputs.to(settings.device)
        for precision in smallest(labels, settings):
            result = run_pass(model, placed, precision_for(precision, settings), settings.device)
            label = {"model": name, "precision": precision}
            yield "Against float64 on the device", compare(label, result, reference, TOLERANCES[precision])
        yield "Masks", {"model": name, **_mask_row(model, placed)}


def run_compiled(settings: Settings, name: str, labels: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """Compare a compiled model with float64 of the model that is not compiled."""
    for label in labels[:1] if settings.tiny else labels:
        recipe = recipe_for(name, settings)
        model, inputs = _build(recipe), random_inputs(recipe, _CLIPS, seed=len(name))
        reference = reference_pass(model, inputs, settings.device)
        model, placed = model.to(settings.device), inputs.to(settings.device)
        torch.compiler.reset()
        # A dry run traces the model but generates no code, which takes minutes on a CPU.
        model.compile(backend="eager" if settings.tiny else "inductor")
        start_s = time.perf_counter()
        result = run_pass(model, placed, precision_for(label, settings), settings.device)
        row: Row = {"model": name, "precision": label, "compiled in s": time.perf_counter() - start_s}
        yield "Compiled, against float64 on the device", compare(row, result, reference, TOLERANCES[label])


run_others = partial(run_eager, precisions=OTHERS)
compiled_hicmae_t = partial(run_compiled, name="hicmae_t", labels=("bf16", "fp32"))
compiled_avfmaepp_b = partial(run_compiled, name="avfmaepp_b", labels=("bf16",))


def _build(recipe: PretrainRecipe) -> MaskedAutoencoder:
    torch.manual_seed(0)
    model = MaskedAutoencoder(recipe.model_config()).train()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and tokens that start at 0 would hide an error in them
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


@torch.no_grad()
def _mask_row(model: MaskedAutoencoder, inputs: Inputs) -> Row:
    """Check that predictions depend on visible pixels alone: bit for bit equal with other pixels in hidden tubes."""
    geometry = model.config.geometry
    time_T, height, width = geometry.video_grid
    visible = torch.zeros(len(inputs.video), geometry.video_tokens, dtype=torch.bool, device=inputs.video.device)
    visible.scatter_(1, inputs.masks.video_visible_BV, True)
    shown = visible.view(-1, 1, time_T, height, width)
    for axis, size in ((2, geometry.tube_frames), (3, geometry.patch_px), (4, geometry.patch_px)):
        shown = shown.repeat_interleave(size, axis)
    model.eval()
    outputs = [
        model(video, inputs.audio, inputs.masks).video_BMP
        for video in (
            inputs.video,
            torch.where(shown, inputs.video, 7.0),
            torch.where(shown, inputs.video + 0.5, inputs.video),
        )
    ]
    model.train()
    hidden_ignored, visible_read = torch.equal(outputs[0], outputs[1]), not torch.equal(outputs[0], outputs[2])
    return {
        "hidden pixels change nothing": hidden_ignored,
        "visible pixels change the prediction": visible_read,
        PASSED: hidden_ignored and visible_read,
    }
