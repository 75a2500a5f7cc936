"""State dicts of weight files."""

import io
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any

import torch
from avf_shards.errors import UNREADABLE_TORCH_FILE, UserError
from torch import Tensor, nn

from avf_curation.detectors.weights import read_weights

_UNREADABLE = (
    *(UnpicklingError, zipfile.BadZipFile, EOFError),
    *(RuntimeError, ValueError, LookupError, AttributeError, TypeError),
)


def load_weights(path: Path, name: str = "", digest: str | None = None) -> dict[str, Tensor]:
    """Return the state dict of a .pth file, or of the only .pth file in a zip. Code in the file is never run.

    Args:
        path: the file.
        name: what the message calls the file; its path where empty.
        digest: as `read_weights` takes it.

    Raises:
        ReplacedWeightsError: the file has another digest.
        UserError: the file holds anything but tensors.
    """
    data = read_weights(path, digest)
    try:
        loaded = _load(data, is_zip=path.suffix == ".zip")
        weights = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else None
    # torch's own messages advise to read such a file in a way that runs the code in it, so they are not shown.
    except _UNREADABLE:
        weights = None
    if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise UserError(f"{name or path}: {UNREADABLE_TORCH_FILE}")
    return dict(weights)


def fill_model(model: nn.Module, weights: Mapping[str, Tensor], name: str) -> None:
    """Copy weights into a model. Raises UserError, which begins with `name`, for the weights of another model."""
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        difference = " ".join(str(error).partition(":")[2].split())
        raise UserError(f"{name}: holds the weights of another model ({difference[:160]}...)") from None


def _load(data: bytes, *, is_zip: bool) -> Any:
    if is_zip:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            inner = [name for name in names if name.endswith((".pth", ".pt"))]
            # A .pth of torch is a zip itself, with a data.pkl inside: that is not an archive of weight files.
            if len(inner) == 1 and "/data.pkl" not in " ".join(names):
                with archive.open(inner[0]) as file:
                    return _load_tensors(file)
    return _load_tensors(io.BytesIO(data))


def _load_tensors(file: IO[bytes]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the pickle protocol of a file that is not torch's
        return torch.load(file, map_location="cpu", weights_only=True)
