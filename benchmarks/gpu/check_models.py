"""Correctness of models, losses, gradients and masks in every precision, and under torch.compile."""

import time
from collections.abc import Iterator

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
from benchmarks.gpu.settings import PRECISIONS, Settings, precision_for, recipe_for, smallest

MODELS = ("hicmae_t", "hicmae_b", "avfmaepp_b")
COMPILED = (("hicmae_t", "bf16"), ("avfmaepp_b", "bf16"), ("hicmae_t", "fp32"))
_CLIPS = 4


def run_eager(settings: Settings) -> Iterator[tuple[str, Row]]:
    """Compare each model with float64 in every precision, then its masks; float64 itself with the CPU, by the smallest."""
    for name in smallest(MODELS, settings):
        recipe = recipe_for(name, settings)
        model, inputs = _build(recipe), random_inputs(recipe, _CLIPS, seed=len(name))
        reference = reference_pass(model, inputs, settings.device)
        if name == MODELS[0]:
            label: Row = {"model": name, "device": settings.device}
            on_cpu = reference_pass(model, inputs, "cpu")
            yield "Float64 on the device and on the CPU", compare(label, reference, on_cpu, TOLERANCES["float64"])
        model, placed = model.to(settings.device), inputs.to(settings.device)
        for precision in smallest(tuple(PRECISIONS), settings):
            result = run_pass(model, placed, precision_for(precision, settings), settings.device)
            label = {"model": name, "precision": precision}
            yield "Against float64 on the device", compare(label, result, reference, TOLERANCES[precision])
        yield "Masks", {"model": name, **_mask_row(model, placed)}


def run_compiled(settings: Settings) -> Iterator[tuple[str, Row]]:
    """Compare compiled models with float64 of the model that is not compiled."""
    for name, label in COMPILED if not settings.tiny else COMPILED[:1]:
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
