"""State dicts of weight files."""

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def load_weights(path: Path) -> dict[str, Tensor]:
    """Return the state dict of a .pth file, or of the only .pth file in a zip. Code in the file is never run."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            inner = [name for name in names if name.endswith((".pth", ".pt"))]
            # A .pth of torch is a zip itself, with a data.pkl inside: that is not an archive of weight files.
            if len(inner) == 1 and "/data.pkl" not in " ".join(names):
                with archive.open(inner[0]) as file:
                    return _state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return _state_dict(torch.load(path, map_location="cpu", weights_only=True))


def _state_dict(loaded: Any) -> dict[str, Tensor]:
    return dict(loaded.get("state_dict", loaded))
