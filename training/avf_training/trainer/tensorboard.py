"""Scalars and images for TensorBoard, and for Weights & Biases where a recipe names a project."""

import secrets
import sys
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.system import durable_io

WANDB_ID = "wandb.id"


class TensorBoardLogger:
    """Writes TensorBoard events to RUN/tensorboard, and the same to a Weights & Biases project if `wandb` names one.

    Events that an earlier start of this run wrote after `step` are purged.
    """

    def __init__(self, run: Path, step: int, wandb: str | None, settings: dict[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter  # the import takes seconds, and ranks above 0 do not log

        self._writer = SummaryWriter(str(run / "tensorboard"), purge_step=step)
        self._wandb = _wandb_run(run, wandb, settings) if wandb else None

    def scalars(self, step: int, group: str, values: dict[str, Any]) -> None:
        """Add a point to each curve `group/name`."""
        points = {f"{group}/{name}": float(value) for name, value in values.items() if value is not None}
        for name, value in points.items():
            self._writer.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb.log(points | {"step": step})

    def image(self, step: int, name: str, path: Path) -> None:
        """Add an image that was written as a PNG file."""
        from matplotlib.image import imread

        self._writer.add_image(name, imread(path)[..., :3], step, dataformats="HWC")
        if self._wandb is not None:
            self._wandb.log({name: sys.modules["wandb"].Image(str(path)), "step": step})

    def close(self) -> None:
        """Flush and close the writers."""
        self._writer.close()
        if self._wandb is not None:
            self._wandb.finish()


def _wandb_run(run: Path, project: str, settings: dict[str, Any]) -> Any:
    """Start or resume the Weights & Biases run of this folder. Raises UserError where the package is missing."""
    try:
        import wandb
    except ImportError:
        raise UserError("wandb: is not installed; pip install 'avf-foundry[wandb]', or set wandb=null") from None
    id_file = run / WANDB_ID  # one folder is one run at Weights & Biases, however often it is started again
    if not id_file.is_file():
        durable_io.replace_file(id_file, secrets.token_hex(6).encode())
    name, run_id = run.resolve().name, id_file.read_text("ascii")
    wandb_run = wandb.init(project=project, name=name, id=run_id, resume="allow", dir=str(run), config=settings)
    wandb_run.define_metric("*", step_metric="step")
    return wandb_run
