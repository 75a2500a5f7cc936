"""The saved model that a command starts from. Without torch, so that a wrong one is refused before torch is loaded."""

from pathlib import Path

from avf_shards.errors import UserError

from avf_training.models.saved_config import CONFIG, WEIGHTS, read_saved_config
from avf_training.trainer.run_folder import MODEL

_SELECTED = "best/validation"  # in the folder of a run that selected its epoch


def start_model(start: Path) -> Path:
    """Return the folder of a saved model: `start` itself, the model a run selected, or its last. Raises UserError."""
    for folder in (start, start / _SELECTED, start / MODEL):
        if (folder / CONFIG).is_file():
            return folder
    raise UserError(f"{start}: holds no saved model and no finished run ({CONFIG} and {WEIGHTS} are looked for)")


def require_model(start: Path) -> None:
    """Raise UserError where `start` holds no saved model."""
    read_saved_config(start_model(start))


def require_fine_tuned(start: Path) -> None:
    """Raise UserError where `start` holds no saved model, or one that has not learned to predict."""
    if read_saved_config(start_model(start))["kind"] != "classifier":
        raise UserError(f"{start}: is a pre-trained model and cannot predict; fine-tune it first")
