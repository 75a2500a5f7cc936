"""State dicts from files, by their published names."""

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def load_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from a .pth, or from the one member of a zip that holds a .pth. Never runs code from the file."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            inner = [name for name in names if name.endswith((".pth", ".pt"))]
            if len(inner) == 1 and "/data.pkl" not in " ".join(names):
                with archive.open(inner[0]) as file:
                    return _state(torch.load(file, map_location="cpu", weights_only=True))
    return _state(torch.load(path, map_location="cpu", weights_only=True))


def _state(loaded: Any) -> dict[str, Tensor]:
    return dict(loaded.get("state_dict", loaded))
