"""Correctness of the models of the frame-level side: outputs, losses and gradients beside float64."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from avf_training.models.precision import set_numerics
from torch import nn

from benchmarks.gpu.dropout import freeze_batch_norms, turn_off_dropout
from benchmarks.gpu.frame_cases import Case, Inputs, list_cases
from benchmarks.gpu.parity import TOLERANCES, PassResult, Tolerance, compare
from benchmarks.gpu.results import PASSED, Row
from benchmarks.gpu.settings import PRECISIONS, Settings

_ON_DEVICE, _AGAINST = "Float64 on the device and on the CPU", "Against float64 on the device"
_SMALL = 20_000_000  # parameters up to which float64 is computed on the CPU too; deep convolutions take it minutes
# A few of millions of units switch sides between fp32 and float64: 5e-4 on a CPU (cross-attention), 2e-3 on an H100.
_KINKS = 0.01
_DEEP = Tolerance(output=0.1, loss=0.05, gradient=0.4)  # bf16 through dozens of convolutions and norms


def run(settings: Settings) -> Iterator[tuple[str, Row]]:
    """Compare every model in fp32 and bf16 with float64 on the device, and float64 of the small ones with the CPU."""
    for case in list_cases(settings):
        try:
            yield from _rows(case, settings)
        except Exception as error:  # a model that cannot be computed is a result, and the others still count
            text = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            yield _AGAINST, {"model": case.name, "error": text, PASSED: False}


def _rows(case: Case, settings: Settings) -> Iterator[tuple[str, Row]]:
    torch.manual_seed(len(case.name))
    model, inputs = turn_off_dropout(case.build()).to(settings.device).train(), case.inputs()
    set_numerics(None, PRECISIONS["fp32"])
    if case.freezes_norms:
        freeze_batch_norms(model, _move(inputs, settings.device, torch.float32))
    exact = deepcopy(model).double()
    reference = _pass(case, exact, _move(inputs, settings.device, torch.float64), "fp32", settings.device)
    if not case.freezes_norms and sum(each.numel() for each in model.parameters()) <= _SMALL:
        on_cpu = _pass(case, exact.to("cpu"), _move(inputs, "cpu", torch.float64), "fp32", "cpu")
        row: Row = {"model": case.name, "device": settings.device}
        yield _ON_DEVICE, compare(row, reference, on_cpu, TOLERANCES["float64"])
    del exact
    for label in ("fp32",) if settings.tiny else ("fp32", "bf16"):
        result = _pass(case, model, _move(inputs, settings.device, torch.float32), label, settings.device)
        tolerance = _DEEP if case.freezes_norms and label == "bf16" else TOLERANCES[label]
        if case.has_relu and label == "fp32":
            tolerance = replace(tolerance, gradient=_KINKS)
        yield _AGAINST, compare({"model": case.name, "precision": label}, result, reference, tolerance)


def _move(inputs: Inputs, device: str, dtype: torch.dtype) -> Inputs:
    return tuple(part.to(device, dtype) for part in inputs)


def _pass(case: Case, model: nn.Module, inputs: Inputs, label: str, device: str) -> PassResult:
    """Return a forward and backward pass of a model on its device, in a precision."""
    precision = PRECISIONS[label]
    set_numerics(None, precision)
    model.zero_grad(set_to_none=True)
    with precision.autocast(device):
        out: Any = model(*inputs)
    outputs, loss = case.evaluate(out, inputs)
    loss.backward()
    gradients = {
        name: torch.zeros_like(each) if each.grad is None else each.grad.detach()
        for name, each in model.named_parameters()
        if each.requires_grad
    }
    return PassResult(
        outputs=outputs.detach().double().flatten(),
        loss=loss.detach().double(),
        gradients={name: each.double() for name, each in gradients.items()},
        scale=1.0,
    )
