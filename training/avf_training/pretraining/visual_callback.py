"""Evaluation callbacks of pre-training: scores of validation clips, a figure of reconstructions, scores of a probe."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from avf_training.distributed.collectives import decide_on_rank_0
from avf_training.distributed.parallelize import full_state_dict
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.mask_sampling import MaskConfig
from avf_training.pretraining.reconstruction_figure import draw_reconstruction, reconstruct_clip
from avf_training.pretraining.validation import ValidationClips
from avf_training.trainer.progress import EvalCallback

RECONSTRUCTIONS = "reconstructions"
_EASY = MaskConfig(video_ratio=0.5, audio_ratio=0.5, decoder_ratio=0.0)  # drawn beside the masks of training

Probe = Callable[[int, Mapping[str, Tensor]], dict[str, float]]
"""Return scores by name of the model's tensors after a step."""


def add_probe(evaluate: EvalCallback, probe: Probe, model: MaskedAutoencoder, rank: int) -> EvalCallback:
    """Return a callback that also gives the scores of a probe, which rank 0 computes. All ranks must call it.

    The others wait for the scores on the CPU, where they wait for longer than in a collective of their GPUs, and where
    an error of rank 0 (a clip that cannot be read) ends them too.
    """

    def evaluate_and_probe(step: int) -> tuple[dict[str, float], Path | None]:
        scores, figure = evaluate(step)
        tensors = full_state_dict(model)  # collective: with FSDP2 every rank holds a part of each tensor
        probed = decide_on_rank_0(lambda: probe(step, tensors))
        return (scores if rank else {**scores, **probed}), figure

    return evaluate_and_probe


def make_eval_callback(
    model: MaskedAutoencoder, masks: MaskConfig, clips: ValidationClips | None, *, scored: bool, out: Path, draws: bool
) -> EvalCallback:
    """Return the function that a run calls every `eval_every` steps.

    Args:
        clips: the clips to evaluate; None on a rank that does not evaluate.
        scored: whether `clips` are validation clips; training clips are only drawn, not scored.
        draws: whether this rank writes RUN/reconstructions/step-00000100.png.
    """

    is_easy = (masks.video_ratio, masks.audio_ratio) == (_EASY.video_ratio, _EASY.audio_ratio)
    mask_configs = [_EASY] if is_easy else [_EASY, masks]

    def evaluate(step: int) -> tuple[dict[str, float], Path | None]:
        if clips is None:
            return {}, None
        training = model.training
        with torch.compiler.set_stance("force_eager"):  # batches of other shapes, too rare to compile for
            scores = clips.score(model).ratios() if scored else {}
            key, video, audio = clips.first()
            reconstructions = [reconstruct_clip(model, video, audio, config, seed=0) for config in mask_configs]
        model.train(training)
        if not draws:
            return scores, None
        path = out / RECONSTRUCTIONS / f"step-{step + 1:08d}.png"
        path.parent.mkdir(exist_ok=True)
        draw_reconstruction(path, reconstructions, f"{key}   step {step + 1}", model.config.targets.normalised)
        return scores, path

    return evaluate
