"""Initialization of a stage from a saved model, or from the model that an earlier run ended with."""

from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.format.tar import sha256_file
from torch import nn

from avf_training.distributed.environment import log_of_rank_0
from avf_training.models.pretrained import initialize_encoders, load_model_folder
from avf_training.models.saved_config import WEIGHTS, refuse_image_model
from avf_training.tasks.hybrid import MAX_VALIDATION_SHARE
from avf_training.tasks.learned_clips import LEARNED, LearnedClips, read_learned
from avf_training.tasks.task import Task
from avf_training.trainer.run_folder import RUN, read_identity
from avf_training.trainer.saved_model import start_model

log = log_of_rank_0(__name__)
_MODALITIES = {"a": "sound", "v": "video"}


def inherit_learned(start: Path, task: Task) -> LearnedClips:
    """Return what earlier stages learned from: the list beside the model that a stage starts from, or that of its run.

    Raises UserError where they trained on, or selected their epoch by, a clip that this task tests or holds out, or
    another clip of its recording, person or film, in whichever release; what the task itself trains on counts for
    nothing. What pre-training saw without labels is allowed, and told.
    """
    learned = _read_list(start)
    if learned is None:
        log.warning(
            "%s: no list says which clips it learned from (%s); whether it saw a test clip of %s is not known",
            start,
            LEARNED,
            task.name,
        )
        return LearnedClips()
    own = LearnedClips.with_labels(task.identity_of[key] for key in task.train).labelled
    for use, keys in (("tests", task.test), ("selects its epoch by", task.validation)):
        shares = ((key, learned.labelled_share(task.identity_of[key], ignored=own)) for key in keys)
        leaked = [(key, relation) for key, relation in shares if relation is not None]
        if leaked:
            key, relation = leaked[0]
            clip = key if relation == "clip" else f"the {relation} of {key}"
            raise UserError(
                f"{start}: was trained on {clip} and {len(leaked) - 1} more clips that {task.name} {use}; "
                f"post-pre-train for this very fold, with a validation_share of at most {MAX_VALIDATION_SHARE} here"
            )
    seen = count_seen(learned, task)
    if seen:
        log.warning(
            "%s: its pre-training saw %d of the %d test clips of %s, without their labels; the scores are not those of "
            "clips that the model has never seen",
            start,
            seen,
            len(task.test),
            task.name,
        )
    return learned


def count_seen(learned: LearnedClips, task: Task) -> int:
    """Return how many test clips show a recording that pre-training saw without labels."""
    return sum(learned.has_seen(task.identity_of[key]) for key in task.test)


def _read_list(start: Path) -> LearnedClips | None:
    """Return the list of a start, that of its run for a model inside one; None where there is none."""
    folders = (start_model(start), start, *start.parents[:2])
    for folder in folders:
        if (folder / LEARNED).is_file():
            return read_learned(folder / LEARNED)
    # A run of an earlier version has the keys of labelled clips in its run.json.
    run = next((folder for folder in folders if (folder / RUN).is_file()), None)
    values = {} if run is None else read_identity(run)
    if "train" not in values:
        return None
    keys = {*values["train"], *values.get("validation", ()), *values.get("inherited_keys", ())}
    return LearnedClips.from_keys(keys, labelled=True)


def start_digest(start: Path) -> str:
    """Return the SHA-256 of the weights that a stage starts from."""
    return sha256_file(start_model(start) / WEIGHTS)


def load_start(model: nn.Module, start: Path) -> list[str]:
    """Load the tensors that `model` shares with a saved one; return the names of the model's tensors that stay new,
    such as those of the head.

    Raises UserError when the saved model is of another size, naming the first tensor that does not fit.
    """
    values, tensors = load_model_folder(start_model(start))
    refuse_image_model(values, start)
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
        has, takes = values["model"].get("modalities"), {n[8] for n in state if n.startswith("encoder_")}
        if has in ("a", "v") and takes != {has}:
            raise UserError(
                f"{start}: was trained on {_MODALITIES[has]} alone and this recipe takes more; `--set modalities={has}`"
            )
        raise UserError(f"{start}: has no {missing[0]} and {len(missing) - 1} other tensors of this model's encoders")
    if values["kind"] == "classifier":  # from an earlier supervised stage, which has learned the layer weights
        learned = {name: tensors[name] for name in new if name.startswith("layer_weights") and name in tensors}
        model.load_state_dict({**model.state_dict(), **learned})
        new = [name for name in new if name not in learned]
    return new
