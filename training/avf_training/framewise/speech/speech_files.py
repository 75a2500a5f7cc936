"""Trained acoustic models on disk: model.safetensors under the authors' names, and config.json with its sizes.

`avf-train extract --extractor pdem_v3 --weights FOLDER` reads such a folder, as it reads the authors' files.
"""

from pathlib import Path
from typing import Any

from avf_shards.schema.versions import stamp

from avf_training.framewise.models.checkpoint_names import export_tensors
from avf_training.framewise.models.huggingface_weights import load_huggingface, read_tensors
from avf_training.framewise.models.speech_encoder import PDEM, SpeechEncoderConfig, SpeechModel, build_speech_encoder
from avf_training.framewise.models.speech_heads import SequencePart, SpeechHead
from avf_training.framewise.speech.speech_recipe import SpeechRecipe
from avf_training.framewise.tracks.speech_extractors import read_speech_config
from avf_training.models.pretrained import save_model_folder

KIND = "speech"


def make_speech_model(recipe: SpeechRecipe, encoder: Path) -> SpeechModel:
    """Return an encoder with its weights behind a new head, of which the layers of the recipe learn.

    The weights are a file or folder of Hugging Face, whose config.json says the sizes. Raises UserError.
    """
    config = read_speech_config(encoder, PDEM)
    net = load_huggingface(build_speech_encoder(config), read_tensors(encoder), str(encoder))
    sequence: SequencePart = "recurrent" if recipe.version == "V1" else "attention"
    model = SpeechModel(net, SpeechHead(recipe.task, sequence, width=config.width))
    if recipe.open_layers:
        model.train_last_layers(recipe.open_layers)
    else:
        model.encoder.requires_grad_(False)
    return model


def save_speech_model(folder: Path, model: SpeechModel, config: SpeechEncoderConfig, recipe: SpeechRecipe) -> None:
    """Write a model into a new folder. Raises UserError where the folder exists."""
    values: dict[str, Any] = {
        "kind": KIND,
        "version": recipe.version,
        "task": recipe.task,
        "model": recipe.frozen(),
        **huggingface_sizes(config),
    }
    save_model_folder(folder, stamp(values, "saved model"), export_tensors(model))


def huggingface_sizes(config: SpeechEncoderConfig) -> dict[str, Any]:
    """Return the sizes of an encoder under the keys of Hugging Face's config.json."""
    channels, kernels, strides = (list(values) for values in zip(*config.convolutions, strict=True))
    return {
        "do_stable_layer_norm": config.stable_norm,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.ffn_width,
        "conv_dim": channels,
        "conv_kernel": kernels,
        "conv_stride": strides,
        "num_conv_pos_embeddings": config.position_kernel,
        "num_conv_pos_embedding_groups": config.position_groups,
    }
