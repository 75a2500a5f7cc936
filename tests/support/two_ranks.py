"""A script for torchrun on two processes; rank 0 prints as JSON the results on which both must agree."""

import json
import sys
from pathlib import Path

import torch
from avf_shards.errors import FaultError
from avf_training.distributed.collectives import process_group, sync_gradients
from avf_training.distributed.parallelize import full_state_dict, parallelize_model
from avf_training.models.mae import MaskedAutoencoder
from avf_training.objectives.hcmcl import NegativeClips, contrastive_loss
from avf_training.objectives.pretraining_loss import pretraining_losses
from avf_training.pretraining.visual_callback import add_probe
from avf_training.trainer.optim_config import OptimConfig
from avf_training.trainer.optimizer import adamw
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.models import random_batch, random_masks, tiny_config

CLIPS, STEPS, ACCUMULATED = 4, 3, 2


def train(parallel: str, compute: str, context) -> tuple[list[float], dict[str, Tensor], float]:
    """Return losses with gradient norms, weights, and loss scale after a few steps; in fp16 the second overflows."""
    torch.manual_seed(0)
    config = tiny_config()
    model = MaskedAutoencoder(config).train()
    wrapped = parallelize_model(model, parallel, context)
    optimizer = adamw(
        model, OptimConfig(base_lr=1e-3, min_lr=0.0, betas=(0.9, 0.95), weight_decay=0.05, warmup_epochs=0.0)
    )
    scaler = torch.amp.GradScaler("cpu", enabled=compute == "fp16", init_scale=1024.0)
    history = []
    for step in range(STEPS):
        for n in range(ACCUMULATED):
            seed = 100 * context.rank + 10 * step + n
            video, audio = random_batch(config, CLIPS, seed)
            masks = random_masks(config, CLIPS, seed)
            with sync_gradients(wrapped, n == ACCUMULATED - 1):
                with torch.autocast("cpu", torch.float16, enabled=compute == "fp16"):
                    out = wrapped(video, audio, masks)
                loss = pretraining_losses(out, video, audio, masks, config).total
                # One rank alone overflows; both must skip the step.
                factor = float("inf") if compute == "fp16" and (step, n, context.rank) == (1, 1, 1) else 1.0
                scaler.scale(loss * factor / ACCUMULATED).backward()
        scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        history += [float(loss), float(norm.full_tensor() if isinstance(norm, DTensor) else norm)]
    return history, full_state_dict(model), scaler.get_scale()


def initial_weights() -> dict[str, Tensor]:
    """Return the weights that both trainings start from."""
    torch.manual_seed(0)
    return MaskedAutoencoder(tiny_config()).state_dict()


def relative_difference(first: dict[str, Tensor], second: dict[str, Tensor], start: dict[str, Tensor]) -> float:
    """Return |first - second| / |first - start|, Euclidean norms over all floating-point weights."""
    names = [name for name in start if start[name].is_floating_point()]
    difference = sum(float((first[name] - second[name]).double().square().sum()) for name in names)
    update = sum(float((first[name] - start[name]).double().square().sum()) for name in names)
    return (difference / update) ** 0.5


def probe_from_both(context) -> dict[str, object]:
    """Return by rank what a callback with a probe gives, and the error that it raises at the second step."""
    calls = []

    def probe(step: int, tensors: object) -> dict[str, float]:
        calls.append(step)
        if step:
            raise FaultError("a clip is unreadable")
        return {"probe": 0.5}

    evaluate = add_probe(lambda step: ({}, None), probe, nn.Linear(2, 2), context.rank)
    scores, _ = evaluate(0)
    try:
        evaluate(1)
        error = ""
    except FaultError as caught:
        error = str(caught)
    everything: list[object] = [None, None]
    torch.distributed.all_gather_object(everything, [scores, error, calls])
    return {"ranks": everything}


def main() -> None:
    with process_group("cpu") as context:
        results = {"probe": probe_from_both(context)}
        for compute in ("fp32", "fp16"):
            ddp_history, ddp_weights, ddp_scale = train("ddp", compute, context)
            fsdp_history, fsdp_weights, fsdp_scale = train("fsdp", compute, context)
            if context.rank == 0:
                worst = relative_difference(ddp_weights, fsdp_weights, initial_weights())
                finite = all(bool(tensor.isfinite().all()) for tensor in fsdp_weights.values())
                results[compute] = {"ddp": ddp_history, "fsdp": fsdp_history, "scales": [ddp_scale, fsdp_scale]}
                results[compute] |= {
                    "finite": finite,
                    "weights_off": worst,
                    "names": sorted(ddp_weights) == sorted(fsdp_weights),
                }
        draw = torch.Generator().manual_seed(1)
        video_GC, audio_GC = (torch.randn(2 * CLIPS, 8, generator=draw) for _ in range(2))
        rank_clips = slice(context.rank * CLIPS, (context.rank + 1) * CLIPS)
        local = video_GC[rank_clips].clone().requires_grad_(), audio_GC[rank_clips].clone().requires_grad_()
        loss = contrastive_loss(*local, 0.07, NegativeClips(source="all_ranks"))
        loss.backward()
        all_ranks = video_GC.clone().requires_grad_(), audio_GC.clone().requires_grad_()
        contrastive_loss(*all_ranks, 0.07).backward()
        mean = loss.detach().clone()
        torch.distributed.all_reduce(mean)
        # Backward leaves the gradient of this rank, of which DDP takes the mean over the two ranks.
        difference = max(
            float((a.grad / 2 - b.grad[rank_clips]).abs().max()) for a, b in zip(local, all_ranks, strict=True)
        )
        if context.rank == 0:
            all_negatives = float(contrastive_loss(*(x.detach() for x in all_ranks), 0.07))
            own_negatives = float(contrastive_loss(*(x.detach() for x in local), 0.07))
            results["contrastive"] = {
                "gathered": float(mean) / 2,
                "all_negatives": all_negatives,
                "own_negatives": own_negatives,
                "gradient_off": difference,
            }
            print(json.dumps(results))


if __name__ == "__main__":
    main()
