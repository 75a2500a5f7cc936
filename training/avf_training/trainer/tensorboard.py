"""Curves and pictures for TensorBoard, and for Weights & Biases where a recipe names a project."""

import secrets
import sys
from pathlib import Path
from typing import Any

from avf_shards import durable_io
from avf_shards.errors import UserError

WANDB_ID = "wandb.id"


class TensorBoardLogger:
    """RUN/tensorboard from `step` on: what an earlier start wrote after it is hidden. wandb: a project, or None."""

    def __init__(self, run: Path, step: int, wandb: str | None, settings: dict[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run / "tensorboard"), purge_step=step)
        self._wandb = _wandb_run(run, wandb, settings) if wandb else None

    def scalars(self, step: int, group: str, values: dict[str, Any]) -> None:
        """Points of curves `group/name`."""
        told = {f"{group}/{name}": float(value) for name, value in values.items() if value is not None}
        for name, value in told.items():
            self._writer.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb.log(told | {"step": step})

    def picture(self, step: int, name: str, path: Path) -> None:
        """A picture that was written as a PNG file."""
        from matplotlib.image import imread

        self._writer.add_image(name, imread(path)[..., :3], step, dataformats="HWC")
        if self._wandb is not None:
            self._wandb.log({name: sys.modules["wandb"].Image(str(path)), "step": step})

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
        if self._wandb is not None:
            self._wandb.finish()


def _wandb_run(run: Path, project: str, settings: dict[str, Any]) -> Any:
    try:
        import wandb
    except ImportError:
        raise UserError("wandb: is not installed; pip install 'avf-foundry[wandb]', or set wandb=null") from None
    kept = run / WANDB_ID  # one folder is one run, however often it is started again
    if not kept.is_file():
        durable_io.replace_file(kept, secrets.token_hex(6).encode())
    name, unique = run.resolve().name, kept.read_text("ascii")
    started = wandb.init(project=project, name=name, id=unique, resume="allow", dir=str(run), config=settings)
    started.define_metric("*", step_metric="step")
    return started
