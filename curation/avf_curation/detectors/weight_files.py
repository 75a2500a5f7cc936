"""State dicts of weight files."""

import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import IO

import torch
from avf_shards.errors import UserError
from torch import Tensor


def load_weights(path: Path) -> dict[str, Tensor]:
    """Return the state dict of a .pth file, or of the only .pth file in a zip. Code in the file is never run.

    Raises UserError for any other file.
    """
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            inner = [name for name in names if name.endswith((".pth", ".pt"))]
            # A .pth of torch is a zip itself, with a data.pkl inside: that is not an archive of weight files.
            if len(inner) == 1 and "/data.pkl" not in " ".join(names):
                with archive.open(inner[0]) as file:
                    return _read_state_dict(file, path)
    return _read_state_dict(path, path)


def _read_state_dict(file: Path | IO[bytes], path: Path) -> dict[str, Tensor]:
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True)
        return dict(loaded.get("state_dict", loaded))
    # torch's own messages advise to read such a file in a way that runs the code in it, so they are not shown.
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError):
        raise UserError(f"{path}: damaged, or not a file of tensors alone that torch.save wrote") from None
