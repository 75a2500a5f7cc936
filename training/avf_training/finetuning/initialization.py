"""What a stage starts from: a saved model, or what a run of an earlier stage has in the end."""

import json
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.format.tar import sha256_file
from torch import nn

from avf_training.models.pretrained import CONFIG, WEIGHTS, initialize_encoders, load_folder
from avf_training.tasks.task import RESERVED, Task
from avf_training.trainer.run_folder import MODEL, RUN

_BEST = "best/validation"  # of a stage that chooses its epoch


def start_model(start: Path) -> Path:
    """The folder of a saved model: `start` itself, or the one a run chose, or its last. Raises UserError."""
    for folder in (start, start / _BEST, start / MODEL):
        if (folder / CONFIG).is_file():
            return folder
    raise UserError(f"{start}: holds no saved model and no finished run ({CONFIG} and {WEIGHTS} are looked for)")


def check_leakage(start: Path, task: Task) -> list[str]:
    """Keys that the stages before have learned from or chosen by, none of which this task tests or chooses by.

    A saved model alone, out of its run's folder, tells of none. Raises UserError naming the first that it does.
    """
    told = next((folder / RUN for folder in (start, *start.parents[:2]) if (folder / RUN).is_file()), None)
    values = json.loads(told.read_text("utf-8")) if told is not None else {}
    seen = {*values.get("train", ()), *values.get("validation", ()), *values.get("inherited_keys", ())}
    for what, keys in (("tests", task.test), ("chooses its epoch by", task.validation)):
        leaked = sorted(seen & set(keys))
        if leaked:
            raise UserError(
                f"{start}: was trained on {leaked[0]} and {len(leaked) - 1} more clips that {task.name} {what}; "
                f"post-pre-train for this very fold, with a validation_share of at most {RESERVED} here"
            )
    return sorted(seen)


def start_digest(start: Path) -> str:
    """SHA-256 of the weights a stage starts from."""
    return sha256_file(start_model(start) / WEIGHTS)


def load_start(model: nn.Module, start: Path) -> list[str]:
    """Load what `model` shares with a saved one; the names of the tensors that stay new: heads, layer weights.

    Raises UserError when the saved model is of another size, naming the first tensor that does not fit.
    """
    values, tensors = load_folder(start_model(start))
    own = model.state_dict()
    for name, tensor in tensors.items():
        if name in own and own[name].ndim == tensor.ndim + 1 and name.rpartition(".")[2].startswith("running_"):
            tensors[name] = tensor.expand_as(own[name])  # one for all units, as the authors save them
    for name, tensor in tensors.items():
        if name in own and name.startswith(("encoder_", "fusion.")) and own[name].shape != tensor.shape:
            raise UserError(
                f"{start}: holds a {values['model'].get('name')!r} of another size: {name} is {tuple(tensor.shape)}, "
                f"this model's is {tuple(own[name].shape)}; start from a model of the same preset"
            )
    new = initialize_encoders(model, tensors)
    missing = [name for name in new if name.startswith("encoder_")]
    if missing:
        raise UserError(f"{start}: has no {missing[0]} and {len(missing) - 1} other tensors of this model's encoders")
    if values["kind"] == "classifier":  # of an earlier supervised stage: its layer weights are learned already
        kept = {name: tensors[name] for name in new if name.startswith("layer_weights") and name in tensors}
        model.load_state_dict({**model.state_dict(), **kept})
        new = [name for name in new if name not in kept]
    return new
