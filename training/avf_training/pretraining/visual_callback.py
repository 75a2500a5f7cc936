"""Now and then during training: scores on clips the model never saw, and a picture of what it reconstructs."""

from pathlib import Path

import torch

from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.masking import MaskConfig
from avf_training.pretraining.reconstruction import draw_reconstruction, reconstruct_clip
from avf_training.pretraining.validation import ValidationClips
from avf_training.trainer.progress import Look

PICTURES = "pictures"
_EASY = MaskConfig(video_ratio=0.5, audio_ratio=0.5, decoder_ratio=0.0)  # shown below the masks of training


def make_eval_callback(
    model: MaskedAutoencoder, masks: MaskConfig, seen: ValidationClips | None, *, scored: bool, out: Path, draws: bool
) -> Look:
    """The function that a run calls every few steps. seen: clips to look at, None where this process does not look.

    scored: whether they are held out, so that their score says something. draws: whether this process writes pictures,
    to RUN/pictures/step-00000100.png.
    """

    same = (masks.video_ratio, masks.audio_ratio) == (_EASY.video_ratio, _EASY.audio_ratio)
    pairs = [_EASY] if same else [_EASY, masks]

    def look(step: int) -> tuple[dict[str, float], Path | None]:
        if seen is None:
            return {}, None
        training = model.training
        with torch.compiler.set_stance("force_eager"):  # other shapes, a few times a run: not worth compiling
            scores = seen.score(model).told() if scored else {}
            key, video, audio = seen.first()
            found = [reconstruct_clip(model, video, audio, ratios, seed=0) for ratios in pairs]
        model.train(training)
        if not draws:
            return scores, None
        path = out / PICTURES / f"step-{step + 1:08d}.png"
        path.parent.mkdir(exist_ok=True)
        draw_reconstruction(path, found, f"{key}   step {step + 1}", model.config.targets.normalised)
        return scores, path

    return look
