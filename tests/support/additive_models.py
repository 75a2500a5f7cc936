"""Saved models whose tokens are sums: each says how much energy or brightness its own patches have, and no more."""

from pathlib import Path

import torch
from avf_training.models.config import Modalities
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.presets import preset


def save_additive_model(folder: Path, modalities: Modalities = "av") -> Path:
    """Save a nano whose blocks change nothing and whose embedding sums the values of a patch, and return its folder.

    `add_nothing_else` takes out of the loaded encoder what cannot be taken out of a saved model.
    """
    model = MaskedAutoencoder(preset("nano", modalities))
    with torch.no_grad():
        for name in ("encoder_audio", "encoder_video"):
            encoder = getattr(model, name, None)
            if encoder is None:
                continue
            for parameter in encoder.blocks.parameters():
                parameter.zero_()
            encoder.embed.proj.weight.fill_(1.0)
            encoder.embed.proj.bias.zero_()
    model.save_pretrained(folder)
    return folder


def add_nothing_else(encoder: torch.nn.Module) -> None:
    """Take norm and positions out of a loaded encoder, whose tokens are sums then, exactly."""
    encoder.norm = torch.nn.Identity()
    encoder.get_buffer("table_NC").zero_()
