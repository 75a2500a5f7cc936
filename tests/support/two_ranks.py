"""Run by torchrun on two processes: what they must agree on, as JSON on rank 0's standard output."""

import json
import sys
from pathlib import Path

import torch
from avf_training.distributed.collectives import process_group, sync_gradients
from avf_training.distributed.parallelize import full_state_dict, parallelize
from avf_training.models.mae import MaskedAutoencoder
from avf_training.objectives.hcmcl import contrastive_loss
from avf_training.objectives.pretraining import pretraining_losses
from avf_training.trainer.optimizer import OptimConfig, adamw
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.models import batch, drawn, tiny

CLIPS, STEPS, ACCUMULATED = 4, 3, 2


def trained(parallel: str, compute: str, place) -> tuple[list[float], dict[str, Tensor], float]:
    """(losses and gradient norms, weights, scale) after a few steps; with a scaler, the second has one infinity."""
    torch.manual_seed(0)
    config = tiny()
    model = MaskedAutoencoder(config).train()
    wrapped = parallelize(model, parallel, place)
    optimizer = adamw(
        model, OptimConfig(base_lr=1e-3, min_lr=0.0, betas=(0.9, 0.95), weight_decay=0.05, warmup_epochs=0.0)
    )
    scaler = torch.amp.GradScaler("cpu", enabled=compute == "fp16", init_scale=1024.0)
    told = []
    for step in range(STEPS):
        for n in range(ACCUMULATED):
            seed = 100 * place.rank + 10 * step + n
            video, audio = batch(config, CLIPS, seed)
            masks = drawn(config, CLIPS, seed)
            with sync_gradients(wrapped, n == ACCUMULATED - 1):
                with torch.autocast("cpu", torch.float16, enabled=compute == "fp16"):
                    out = wrapped(video, audio, masks)
                loss = pretraining_losses(out, video, audio, masks, config).total
                # One rank alone overflows; both must skip the step.
                factor = float("inf") if compute == "fp16" and (step, n, place.rank) == (1, 1, 1) else 1.0
                scaler.scale(loss * factor / ACCUMULATED).backward()
        scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        told += [float(loss), float(norm.full_tensor() if isinstance(norm, DTensor) else norm)]
    return told, full_state_dict(model), scaler.get_scale()


def initial_weights() -> dict[str, Tensor]:
    """Return the weights that both trainings start from."""
    torch.manual_seed(0)
    return MaskedAutoencoder(tiny()).state_dict()


def relative_difference(first: dict[str, Tensor], second: dict[str, Tensor], start: dict[str, Tensor]) -> float:
    """Return |first - second| / |first - start|, Euclidean norms over all floating-point weights."""
    names = [name for name in start if start[name].is_floating_point()]
    difference = sum(float((first[name] - second[name]).double().square().sum()) for name in names)
    update = sum(float((first[name] - start[name]).double().square().sum()) for name in names)
    return (difference / update) ** 0.5


def main() -> None:
    with process_group("cpu") as place:
        answers = {}
        for compute in ("fp32", "fp16"):
            one, weights, scale = trained("ddp", compute, place)
            two, shared, scale_too = trained("fsdp", compute, place)
            if place.rank == 0:
                worst = relative_difference(weights, shared, initial_weights())
                finite = all(bool(tensor.isfinite().all()) for tensor in shared.values())
                answers[compute] = {"ddp": one, "fsdp": two, "weights_off": worst, "scales": [scale, scale_too]}
                answers[compute] |= {"finite": finite, "names": sorted(weights) == sorted(shared)}
        draw = torch.Generator().manual_seed(1)
        video_GC, audio_GC = (torch.randn(2 * CLIPS, 8, generator=draw) for _ in range(2))
        mine = slice(place.rank * CLIPS, (place.rank + 1) * CLIPS)
        own = video_GC[mine].clone().requires_grad_(), audio_GC[mine].clone().requires_grad_()
        loss = contrastive_loss(*own, 0.07, "gathered")
        loss.backward()
        every = video_GC.clone().requires_grad_(), audio_GC.clone().requires_grad_()
        contrastive_loss(*every, 0.07).backward()
        mean = loss.detach().clone()
        torch.distributed.all_reduce(mean)
        # DDP takes the mean over ranks of what backward left here.
        off = max(float((a.grad / 2 - b.grad[mine]).abs().max()) for a, b in zip(own, every, strict=True))
        if place.rank == 0:
            whole = float(contrastive_loss(*(x.detach() for x in every), 0.07))
            alone = float(contrastive_loss(*(x.detach() for x in own), 0.07))
            answers["contrastive"] = {"gathered": float(mean) / 2, "whole": whole, "own": alone, "gradient_off": off}
            print(json.dumps(answers))


if __name__ == "__main__":
    main()
