"""Extractors with tiny random weights, saved as their owners save theirs."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from avf_training.framewise.models.checkpoint_names import export_tensors
from avf_training.framewise.models.image_sizes import ImageViTConfig
from avf_training.framewise.models.image_vit import ImageFeatureModel
from avf_training.framewise.models.speech_encoder import SpeechEncoderConfig, SpeechModel, build_speech_encoder
from avf_training.framewise.models.speech_heads import SpeechHead
from avf_training.framewise.models.static_nets import StaticNet
from avf_training.framewise.models.vggish import VGGish, Whitening
from safetensors.torch import save_file

from support.models import save_pretrained_model

CONVOLUTIONS = ((8, 10, 5), *4 * ((8, 3, 2),), *2 * ((8, 2, 2),))

#: On no clock that sound has, for tests of the network alone.
SMALL_SPEECH = SpeechEncoderConfig(
    stable_norm=True,
    width=16,
    layers=3,
    heads=2,
    ffn_width=8,
    convolutions=((4, 10, 5), (4, 3, 2)),
    position_kernel=4,
    position_groups=2,
)


def speech_config(stable_norm: bool) -> SpeechEncoderConfig:
    """Sizes of a tiny encoder on the clock of the published ones."""
    return SpeechEncoderConfig(
        stable_norm=stable_norm, width=32, layers=2, heads=2, ffn_width=16, convolutions=CONVOLUTIONS,
        position_kernel=4, position_groups=2,
    )  # fmt: skip


def save_huggingface(folder: Path, tensors: dict[str, torch.Tensor], config: SpeechEncoderConfig) -> Path:
    """Write tensors and config.json as Hugging Face does."""
    folder.mkdir()
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "model.safetensors")
    channels, kernels, strides = zip(*config.convolutions, strict=True)
    sizes = {
        "do_stable_layer_norm": config.stable_norm, "hidden_size": config.width, "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads, "intermediate_size": config.ffn_width, "conv_dim": channels,
        "conv_kernel": kernels, "conv_stride": strides, "num_conv_pos_embeddings": config.position_kernel,
        "num_conv_pos_embedding_groups": config.position_groups,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(sizes))
    return folder


def huggingface_names(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return an encoder's tensors as a HuBERT of Hugging Face calls them, with one that is not used."""
    renamed = {"hubert.masked_spec_embed": torch.zeros(32)}
    for name, value in tensors.items():
        theirs = name.replace("encoder.feature_projection.", "feature_projection.")
        theirs = theirs.replace("encoder.transformer.", "encoder.")
        renamed[f"hubert.{theirs}"] = value
    return renamed


def save_hubert(folder: Path) -> Path:
    torch.manual_seed(1)
    config = speech_config(stable_norm=False)
    return save_huggingface(folder, huggingface_names(build_speech_encoder(config).state_dict()), config)


def save_pdem(folder: Path, version: str) -> Path:
    torch.manual_seed(2)
    config = speech_config(stable_norm=True)
    head = SpeechHead("va", "recurrent" if version == "pdem_v1" else "attention", width=config.width)
    tensors = export_tensors(SpeechModel(build_speech_encoder(config), head))
    return save_huggingface(folder, {name: value.clone() for name, value in tensors.items()}, config)


def save_vggish(path: Path, whitened: bool) -> Path:
    torch.manual_seed(3)
    tensors = VGGish((2, 2, 2, 2, 2, 2), (8, 8, 5)).state_dict()
    if whitened:
        tensors |= {f"pproc.{name}": value for name, value in Whitening(5).state_dict().items()}
    save_file(tensors, path)
    return path


def tiny_vit() -> ImageFeatureModel:
    """Return the network that `save_vit` saves: pictures of 32 pixels, vectors of 24 values."""
    torch.manual_seed(4)
    return ImageFeatureModel(ImageViTConfig(width=24, depth=2, heads=3, patch_px=8, size_px=32), 8).eval()


def save_vit(folder: Path) -> Path:
    folder.mkdir()
    save_file(tiny_vit().state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"num_attention_heads": 3}))
    return folder


def save_static(path: Path) -> Path:
    torch.manual_seed(5)
    save_file(StaticNet("efficientnet_b1").state_dict(), path)
    return path


MAKERS: dict[str, tuple[Callable[[Path], Path], int, list[int]]] = {
    "vit": (save_vit, 24, [*range(1, 65)]),
    "saved_model": (lambda path: save_pretrained_model(path, 0), 96, [*range(1, 65, 8)]),
    "wav2vec2": (save_hubert, 32, [*range(1, 65)]),
    "hubert": (save_hubert, 32, [*range(1, 65)]),
    "vggish": (lambda path: save_vggish(path, False), 5, [*range(1, 65)]),
    "pdem_v1": (lambda path: save_pdem(path, "pdem_v1"), 256, [*range(1, 65, 5)]),
    "pdem_v2": (lambda path: save_pdem(path, "pdem_v2"), 32, [*range(1, 65, 5)]),
    "pdem_v3": (lambda path: save_pdem(path, "pdem_v3"), 32, [*range(1, 65, 5)]),
}
"""Extractor -> (writer of tiny weights, values of a vector, frames that have one)."""
