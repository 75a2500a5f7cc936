"""Conversion of the authors' checkpoints to ours and back.

Their files are pickles. They are read with `weights_only`, which runs no code from them.
"""

import _codecs
import argparse
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from avf_shards.errors import UNREADABLE_TORCH_FILE, UserError
from avf_shards.schema.versions import stamp
from avf_shards.settings.config import bind
from avf_shards.text import load_json
from torch import Tensor, nn

from avf_training.conversion.authors_state_dict import authors_names, from_authors_names, to_authors_names
from avf_training.models.classifier import Classifier
from avf_training.models.config import ModelConfig
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.presets import PRESETS
from avf_training.models.pretrained import (
    describe_misfit,
    load_model_folder,
    parse_saved_config,
    refuse_nonfinite,
    save_model_folder,
)

_CONTAINERS = ("model", "module", "state_dict")
_PREFIXES = ("module.", "_orig_mod.")
ENCODERS = "encoders"
#: What their files hold beside tensors: arguments, and single numbers of NumPy, which 1 and 2 pickle under two names.
_BESIDE_TENSORS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(name)) for name in ("f4", "f8", "i4", "i8", "b1")),
    *((np.float64().__reduce__()[0], f"numpy.{module}.multiarray.scalar") for module in ("core", "_core")),
    _codecs.encode,  # of the bytes of such a number
]


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A checkpoint of the authors under our names."""

    kind: str  # `mae`, `classifier` or `encoders`
    config: ModelConfig  # of the model that the tensors fit
    outputs: int | None  # of a classifier
    tensors: dict[str, Tensor]  # by our names

    def save(self, folder: Path, origin: Mapping[str, str] | None = None) -> None:
        """Write the model as a folder of config.json and model.safetensors.

        origin: where the checkpoint was published, for config.json.
        """
        values: dict[str, Any] = {"kind": self.kind, "model": asdict(self.config)}
        values |= {} if self.outputs is None else {"outputs": self.outputs}
        values |= {} if origin is None else {"origin": dict(origin)}
        values = stamp(values, "saved model")
        save_model_folder(folder, values, self.tensors)


def read_model_config(path: Path) -> ModelConfig:
    """Return the model that a config.json describes. Raises UserError."""
    try:
        values = load_json(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except ValueError as error:
        raise UserError(f"{path}: is not JSON ({error})") from None
    return bind(ModelConfig, values.get("model", values) if isinstance(values, dict) else values, str(path))


def read_authors_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file of the authors, without the prefixes that compiled and distributed models add.

    Raises UserError.
    """
    try:
        # The warning is about the pickle protocol of a file that is not torch's.
        with torch.serialization.safe_globals(_BESIDE_TENSORS), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    # The library's own messages advise to read such a file in a way that runs the code in it, so they are not shown.
    except (UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError):
        raise UserError(f"{path}: {UNREADABLE_TORCH_FILE}") from None
    for name in _CONTAINERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
            break
    if not isinstance(loaded, Mapping):
        raise UserError(f"{path}: holds no table of tensors")
    tensors = {_strip_prefixes(str(key)): value for key, value in loaded.items() if isinstance(value, Tensor)}
    if not tensors:
        raise UserError(f"{path}: holds no table of tensors; the names in it: {', '.join(map(str, list(loaded)[:8]))}")
    refuse_nonfinite(tensors, str(path))
    return tensors


def _strip_prefixes(name: str) -> str:
    while name.startswith(_PREFIXES):
        name = name.split(".", 1)[1]
    return name


def convert_state_dict(tensors: Mapping[str, Tensor], config: ModelConfig | None = None) -> Converted:
    """Return the authors' tensors under our names. Raises UserError that lists unknown and missing names.

    config: the model, where its sizes are not those of a published one. The decoders may be missing as a whole.
    """
    outputs = len(tensors["head.weight"]) if "head.weight" in tensors else None
    pretrained = any(name.startswith("decoder.") for name in tensors)
    chosen = _shared_statistics(config) if config else _recognize_preset(tensors, outputs)
    with torch.device("meta"):
        model: nn.Module = Classifier(chosen, outputs) if outputs is not None else MaskedAutoencoder(chosen)
    names = authors_names(model)
    if outputs is None and not pretrained:
        names = {ours: theirs for ours, theirs in names.items() if not ours.startswith("decoder_")}
    ours = from_authors_names(tensors, names)
    _check(tensors, names, ours, model.state_dict())
    kind = "classifier" if outputs is not None else "mae" if pretrained else ENCODERS
    return Converted(kind=kind, config=chosen, outputs=outputs, tensors=ours)


def _shared_statistics(config: ModelConfig) -> ModelConfig:
    """Return the model with one pair of running statistics for all DiER units, as the authors' code has it."""
    return replace(config, batch_norm_statistics="shared")


def _merge_unit_statistics(name: str, tensors: Mapping[str, Tensor]) -> Tensor:
    """Return a tensor; running statistics of each unit become those of all units' values together.

    The variance of a mixture of equal shares is the mean of the variances plus the variance of the means.
    """
    tensor, last = tensors[name], name.rpartition(".")[2]
    if tensor.ndim != 2 or last not in ("running_mean", "running_var"):
        return tensor
    if last == "running_mean":
        return tensor.mean(0)
    return tensor.mean(0) + tensors[name.replace("running_var", "running_mean")].var(0, unbiased=False)


def _check(
    tensors: Mapping[str, Tensor],
    names: Mapping[str, tuple[str, ...]],
    ours: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
) -> None:
    known = {part for parts in names.values() for part in parts}
    missing = [f"  missing: {name}" for name in sorted(known - tensors.keys())]
    unknown = [f"  unknown: {name}" for name in sorted(tensors.keys() - known)]
    shapes = [
        f"  {' + '.join(names[name])}: shape {tuple(tensor.shape)}, the model's is {tuple(wanted[name].shape)}"
        for name, tensor in ours.items()
        if tensor.shape != wanted[name].shape
    ]
    if missing or unknown or shapes:
        raise UserError(describe_misfit("the checkpoint does not fit the model:", missing, unknown, shapes))


def _recognize_preset(tensors: Mapping[str, Tensor], outputs: int | None) -> ModelConfig:
    """Return the published model with most of these names and shapes; width and depth tell the models apart.

    Raises UserError when fewer than half of the tensors fit any of them.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    best, score = None, 0
    for config in map(_shared_statistics, PRESETS.values()):
        with torch.device("meta"):
            model: nn.Module = Classifier(config, outputs or 1) if outputs is not None else MaskedAutoencoder(config)
            theirs = to_authors_names(model.state_dict(), authors_names(model))
        hits = sum(shapes.get(name) == tuple(tensor.shape) for name, tensor in theirs.items())
        if hits > score:
            best, score = config, hits
    if best is None or score < len(shapes) // 2:
        raise UserError(
            f"the checkpoint's sizes are no published model's ({', '.join(PRESETS)}); name it with --preset NAME or "
            "--config FILE (a config.json)"
        )
    return best


def convert_to_authors(folder: Path, path: Path) -> int:
    """Write the model in `folder` as the authors' file `path`, and return the number of tensors. Raises UserError."""
    if path.exists():
        raise UserError(f"{path}: exists already; name a new file")
    values, tensors = load_model_folder(folder)
    config = parse_saved_config(values["model"], folder)
    tensors = {name: _merge_unit_statistics(name, tensors) for name in tensors}
    with torch.device("meta"):
        model: nn.Module = (
            Classifier(config, int(values["outputs"])) if values["kind"] == "classifier" else MaskedAutoencoder(config)
        )
    names = {ours: theirs for ours, theirs in authors_names(model).items() if ours in tensors}
    if unknown := sorted(tensors.keys() - names.keys()):
        raise UserError(f"{folder}: tensors that its model does not have: {', '.join(unknown)}")
    checkpoint: dict[str, Any] = {"model": to_authors_names(tensors, names)}
    temporary = path.with_name(f".{path.name}.half")
    torch.save(checkpoint, temporary)
    temporary.replace(path)
    return len(checkpoint["model"])
