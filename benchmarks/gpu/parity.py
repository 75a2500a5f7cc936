"""A forward and backward pass of pre-training on the device, compared with the same in float64."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from avf_training.config.pretrain import PretrainRecipe
from avf_training.models.config import Precision
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.mask_sampling import Masker
from avf_training.models.masks import Masks
from avf_training.models.precision import set_numerics
from avf_training.objectives.pretraining_loss import pretraining_losses
from torch import Tensor

from benchmarks.gpu.results import PASSED, Row

_SCALES = 8  # halvings of the fp16 scale after which a gradient that overflows counts as a failure


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """Largest relative errors, by the norm of the difference over the norm of the reference."""

    output: float
    loss: float
    gradient: float  # of all parameters together


TOLERANCES: Mapping[str, Tolerance] = {
    "float64": Tolerance(output=1e-10, loss=1e-10, gradient=1e-10),  # on the device, beside the CPU
    "fp32": Tolerance(output=1e-5, loss=1e-5, gradient=1e-4),
    "TF32": Tolerance(output=3e-3, loss=1e-3, gradient=1e-2),
    "bf16": Tolerance(output=2e-2, loss=1e-2, gradient=6e-2),
    "fp16": Tolerance(output=3e-3, loss=1e-3, gradient=1e-2),
    "bf16, decoders TF32": Tolerance(output=2e-2, loss=1e-2, gradient=6e-2),
    "fp16, decoders fp32": Tolerance(output=3e-3, loss=1e-3, gradient=1e-2),
}


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Random clips of a model with their masks, on the CPU."""

    video: Tensor
    audio: Tensor
    masks: Masks

    def to(self, device: str, dtype: torch.dtype = torch.float32) -> "Inputs":
        """Return the inputs on a device, with clips of a type."""
        return Inputs(
            video=self.video.to(device, dtype),
            audio=self.audio.to(device, dtype),
            masks=Masks(*(part.to(device) for part in self.masks)),
        )


@dataclass(frozen=True, kw_only=True)
class PassResult:
    """The results of a forward and backward pass, in float64 on the device that computed it."""

    outputs: Tensor  # all predicted patches, one after the other
    loss: Tensor
    gradients: Mapping[str, Tensor]  # of each parameter that is trained
    scale: float  # of the loss in fp16; 1 otherwise


def random_inputs(recipe: PretrainRecipe, clips: int, seed: int) -> Inputs:
    """Return random clips and masks."""
    config, generator = recipe.model_config(), torch.Generator().manual_seed(seed)
    masker, random = Masker(config, recipe.masks), np.random.default_rng(seed)
    return Inputs(
        video=torch.randn(clips, *config.geometry.video_shape, generator=generator),
        audio=torch.randn(clips, *config.geometry.audio_shape, generator=generator),
        masks=Masks.stack([masker.sample(random) for _ in range(clips)]),
    )


def reference_pass(model: MaskedAutoencoder, inputs: Inputs, device: str) -> PassResult:
    """Return the pass in float64 on the device. The model stays as it is."""
    exact = deepcopy(model).to(device, torch.float64)
    return run_pass(exact, inputs.to(device, torch.float64), Precision(compute="fp32", fp32_decoder=False), device)


def run_pass(model: MaskedAutoencoder, inputs: Inputs, precision: Precision, device: str) -> PassResult:
    """Return the pass of a model that is on the device. In fp16 the scale is halved until the gradients are finite."""
    set_numerics(None, precision)
    model.fp32_decoder = precision.fp32_decoder
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    scale = 2.0**16 if precision.compute == "fp16" else 1.0
    for _ in range(_SCALES):
        model.zero_grad(set_to_none=True)
        with precision.autocast(device):
            out = model(inputs.video, inputs.audio, inputs.masks)
        loss = pretraining_losses(out, inputs.video, inputs.audio, inputs.masks, model.config).total
        (loss * scale).backward()
        gradients = {
            name: torch.zeros_like(p) if p.grad is None else p.grad.detach() / scale for name, p in parameters.items()
        }
        if scale == 1 or all(bool(gradient.isfinite().all()) for gradient in gradients.values()):
            break
        scale /= 2
    assert out.video_BMP is not None
    assert out.audio_BMP is not None
    return PassResult(
        outputs=torch.cat([part.detach().double().flatten() for part in (out.video_BMP, out.audio_BMP)]),
        loss=loss.detach().double(),
        gradients={name.removeprefix("_orig_mod."): part.double() for name, part in gradients.items()},
        scale=scale,
    )


def compare(label: Row, result: PassResult, reference: PassResult, tolerance: Tolerance) -> Row:
    """Return the row of a pass: its errors against the reference, the tolerances, and whether it passed."""
    output = relative_error(result.outputs, reference.outputs)
    loss = relative_error(result.loss, reference.loss)
    flat, exact = (torch.cat([part.flatten() for part in side.gradients.values()]) for side in (result, reference))
    gradient = relative_error(flat, exact)
    # Tensors whose gradient is a thousandth of the whole or less are rounding noise of larger ones.
    worst, worst_name = max(
        (relative_error(result.gradients[name], expected), name)
        for name, expected in reference.gradients.items()
        if float(expected.norm()) > 1e-3 * float(exact.norm())
    )
    passed = output <= tolerance.output and loss <= tolerance.loss and gradient <= tolerance.gradient
    return {
        **label,
        "output error": output,
        "at most": tolerance.output,
        "loss error": loss,
        "loss at most": tolerance.loss,
        "gradient error": gradient,
        "gradient at most": tolerance.gradient,
        "worst tensor's": worst,
        "worst tensor": worst_name,
        "loss scale": result.scale,
        PASSED: passed,
    }


def relative_error(value: Tensor, reference: Tensor) -> float:
    """Return the norm of the difference over the norm of the reference; infinity for a value that is not finite.

    Computed on the device of `value`: a gradient of 170 million numbers takes a CPU seconds.
    """
    reference = reference.to(value.device)
    error = float((value - reference).norm() / reference.norm())
    return error if np.isfinite(error) else float("inf")
