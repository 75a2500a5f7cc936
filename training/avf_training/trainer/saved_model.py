"""The saved model that a command starts from. Without torch, so that a wrong one is refused before torch is loaded."""

import re
from collections.abc import Sequence
from pathlib import Path

from avf_shards.errors import UserError

from avf_training.models.saved_config import CONFIG, WEIGHTS, read_saved_config, refuse_image_model
from avf_training.trainer.run_folder import MODEL, RESULT

_SELECTED = "best/validation"  # in the folder of a run that selected its epoch
_FOLD = re.compile(r"fold-([0-9]{1,9})")  # name of the run of a fold in the folder that `finetune --fold all` writes


def start_model(start: Path) -> Path:
    """Return the folder of a saved model: `start` itself, the model a run selected, or its last. Raises UserError."""
    for folder in (start, start / _SELECTED, start / MODEL):
        if (folder / CONFIG).is_file():
            return folder
    raise UserError(f"{start}: holds no saved model and no finished run ({CONFIG} and {WEIGHTS} are looked for)")


def list_models(paths: Sequence[Path]) -> list[Path]:
    """Return models to average: each path, or the runs of all folds in a folder of `finetune --fold all`, by number.

    Raises UserError for one that is named twice, which would count twice, and for a fold whose run is not finished.
    """
    models: list[Path] = []
    for path in paths:
        folds = {int(name[1]): entry for entry in _entries(path) if (name := _FOLD.fullmatch(entry.name))}
        unfinished = [folds[number] for number in sorted(folds) if not (folds[number] / RESULT).is_file()]
        if unfinished:
            raise UserError(
                f"{unfinished[0]}: is not finished (no {RESULT}), and an average over the folds needs each of them; "
                "run the command that trains them again, or name each fold to average with a --model of its own"
            )
        models += [folds[number] for number in sorted(folds)] or [path]
    seen: dict[Path, Path] = {}
    for model in models:
        other = seen.setdefault(start_model(model).resolve(), model)
        if other is not model:
            raise UserError(f"{model}: is the same model as {other}, and would count twice; name each model once")
    return models


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def require_model(start: Path) -> None:
    """Raise UserError where `start` holds no saved model."""
    read_saved_config(start_model(start))


def require_fine_tuned(start: Path) -> None:
    """Raise UserError where `start` holds no saved model, or one that has not learned to predict."""
    values = read_saved_config(start_model(start))
    refuse_image_model(values, start)
    if values["kind"] != "classifier":
        raise UserError(f"{start}: is a pre-trained model and cannot predict; fine-tune it first")
