"""Initialization of a stage from a saved model, or from the model that an earlier run ended with."""

import logging
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.format.tar import sha256_file
from torch import nn

from avf_training.models.pretrained import CONFIG, WEIGHTS, initialize_encoders, load_model_folder
from avf_training.tasks.hybrid import MAX_VALIDATION_SHARE
from avf_training.tasks.task import Task
from avf_training.trainer.run_folder import MODEL, RUN, read_identity

log = logging.getLogger(__name__)
_SELECTED = "best/validation"  # in the folder of a run that selected its epoch


def start_model(start: Path) -> Path:
    """Return the folder of a saved model: `start` itself, the model a run selected, or its last. Raises UserError."""
    for folder in (start, start / _SELECTED, start / MODEL):
        if (folder / CONFIG).is_file():
            return folder
    raise UserError(f"{start}: holds no saved model and no finished run ({CONFIG} and {WEIGHTS} are looked for)")


def check_leakage(start: Path, task: Task) -> list[str]:
    """Return the clip keys that earlier stages trained on or selected their epoch by.

    A model folder copied out of its run's folder has no such list, and nothing can be checked. Raises UserError where
    one of the keys is in this task's test or validation clips.
    """
    run = next((folder for folder in (start, *start.parents[:2]) if (folder / RUN).is_file()), None)
    values = {} if run is None else read_identity(run)
    inherited = {*values.get("train", ()), *values.get("validation", ()), *values.get("inherited_keys", ())}
    for use, keys in (("tests", task.test), ("selects its epoch by", task.validation)):
        leaked = sorted(inherited & set(keys))
        if leaked:
            raise UserError(
                f"{start}: was trained on {leaked[0]} and {len(leaked) - 1} more clips that {task.name} {use}; "
                f"post-pre-train for this very fold, with a validation_share of at most {MAX_VALIDATION_SHARE} here"
            )
    log.info("%s: %d clips of earlier stages, none is tested by %s", start, len(inherited), task.name)
    return sorted(inherited)


def start_digest(start: Path) -> str:
    """Return the SHA-256 of the weights that a stage starts from."""
    return sha256_file(start_model(start) / WEIGHTS)


def load_start(model: nn.Module, start: Path) -> list[str]:
    """Load the tensors that `model` shares with a saved one; return the names of the model's tensors that stay new,
    such as those of the head.

    Raises UserError when the saved model is of another size, naming the first tensor that does not fit.
    """
    values, tensors = load_model_folder(start_model(start))
    state = model.state_dict()
    for name, tensor in tensors.items():
        # The authors save one running statistic for all units; a model may have one for each.
        if name in state and state[name].ndim == tensor.ndim + 1 and name.rpartition(".")[2].startswith("running_"):
            tensors[name] = tensor.expand_as(state[name])
    for name, tensor in tensors.items():
        if name in state and name.startswith(("encoder_", "fusion.")) and state[name].shape != tensor.shape:
            raise UserError(
                f"{start}: holds a {values['model'].get('name')!r} of another size: {name} is {tuple(tensor.shape)}, "
                f"this model's is {tuple(state[name].shape)}; start from a model of the same preset"
            )
    new = initialize_encoders(model, tensors)
    missing = [name for name in new if name.startswith("encoder_")]
    if missing:
        raise UserError(f"{start}: has no {missing[0]} and {len(missing) - 1} other tensors of this model's encoders")
    if values["kind"] == "classifier":  # from an earlier supervised stage, which has learned the layer weights
        learned = {name: tensors[name] for name in new if name.startswith("layer_weights") and name in tensors}
        model.load_state_dict({**model.state_dict(), **learned})
        new = [name for name in new if name not in learned]
    return new
