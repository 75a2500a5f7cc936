"""Checkpoints of authors and of MAE as model folders, for the commands that write such a folder."""

from collections.abc import Mapping
from pathlib import Path

from avf_training.conversion.convert import convert_state_dict, read_authors_checkpoint
from avf_training.framewise.models.image_files import is_of_mae, recognize_image_model, save_image_model
from avf_training.models.config import ModelConfig


def convert_checkpoint(
    path: Path, out: Path, config: ModelConfig | None = None, origin: Mapping[str, str] | None = None
) -> str:
    """Write the model in a checkpoint as the new folder `out`, and return what it is, in a line.

    Args:
        config: an audio-visual model whose tensors these must be; None: recognized by the tensors.
        origin: where the checkpoint was published, for config.json.

    Raises UserError for what is no such checkpoint, or of another model, and where `out` exists.
    """
    tensors = read_authors_checkpoint(path)
    if config is None and is_of_mae(tensors):
        image = recognize_image_model(tensors, path)
        values = {} if origin is None else {"origin": dict(origin)}
        save_image_model(out, image.kind, image.config, image.tensors, **values)
        return f"{image.kind} of width {image.config.width}, {len(image.tensors)} tensors"
    model = convert_state_dict(tensors, config)
    model.save(out, origin)
    outputs = f", {model.outputs} outputs" if model.outputs else ""
    return f"{model.kind} {model.config.name}{outputs}, {len(model.tensors)} tensors"
