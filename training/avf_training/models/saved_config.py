"""The config.json of a saved model. Without torch, so that another folder is refused before torch is loaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.schema.versions import check_version, refuse_newer_version
from avf_shards.text import load_json

WEIGHTS, CONFIG = "model.safetensors", "config.json"
TITLES = {
    "mae": "a pre-trained model (mae)",
    "classifier": "a fine-tuned model (classifier)",
    "image_mae": "an image model of avf-train pretrain-images (image_mae)",
    "image_encoder": "the encoder of an image model (image_encoder)",
    "image_features": "an image model of avf-train finetune-images (image_features)",
    "image_static": "a network of single pictures of avf-train finetune-images (image_static)",
    "speech": "an acoustic model of avf-train train-speech (speech)",
}
"""Kind of a saved model -> what it is, for messages."""


def read_saved_config(folder: Path) -> dict[str, Any]:
    """Return the values of FOLDER/config.json. Raises UserError for a folder that holds no saved model."""
    try:
        values = load_json((folder / CONFIG).read_text("utf-8"))
    except FileNotFoundError as error:
        raise missing_file(folder, error) from None
    except ValueError as error:
        raise UserError(f"{folder}: cannot be read as a saved model ({error})") from None
    if isinstance(values, dict):  # first: a newer version may have renamed the keys
        refuse_newer_version(values, "saved model", str(folder / CONFIG))
    if not isinstance(values, dict) or not {"kind", "model"} <= values.keys():
        raise UserError(f"{folder / CONFIG}: is not the config of a saved model (it has no kind and model)")
    check_version(values, "saved model", str(folder / CONFIG))
    return values


def refuse_image_model(values: Mapping[str, Any], where: Path | str) -> None:
    """Raise UserError for the config of a model of single pictures, which no command of audio-visual models takes."""
    if str(values["kind"]).startswith("image_"):
        raise UserError(f"{where}: is {TITLES.get(values['kind'], 'an image model')}; name an audio-visual model")


def missing_file(folder: Path, error: FileNotFoundError) -> UserError:
    """Return the error of a folder that lacks a file of a saved model."""
    return UserError(f"{error.filename or folder}: does not exist; a saved model has {CONFIG} and {WEIGHTS}")
