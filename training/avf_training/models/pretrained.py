"""Models on disk: `model.safetensors` and `config.json` in one folder."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

from avf_shards.errors import UserError
from avf_shards.format.tar import sha256_file
from avf_shards.schema.versions import stamp
from avf_shards.settings.config import bind
from avf_shards.system import durable_io
from avf_shards.text import count_noun
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from avf_training.models.config import ModelConfig
from avf_training.models.low_rank import AdapterBase, add_base
from avf_training.models.saved_config import CONFIG, TITLES, WEIGHTS, missing_file, read_saved_config

_MAX_MISFITS = 5  # of each kind in one message; another network differs in hundreds


class Pretrained(nn.Module):
    """A model that can be saved to a folder and loaded from it."""

    kind: ClassVar[str]  # name of the class in config.json
    config: ModelConfig
    base: AdapterBase | None = None  # set: the saved folder holds adapters, and this model the other weights

    def init_arguments(self) -> dict[str, Any]:
        """Return the arguments of the class besides the model config, for config.json."""
        return {}

    def save_pretrained(self, folder: Path | str, tensors: Mapping[str, Tensor] | None = None) -> None:
        """Write the model into a new folder.

        tensors: the model's full tensors, needed when it is sharded over ranks. Raises UserError if the folder exists.
        """
        values = {"kind": self.kind, **self.init_arguments(), "model": asdict(self.config)}
        if self.base is not None:
            values["base"] = asdict(self.base)
        config = stamp(values, "saved model")
        save_model_folder(Path(folder), config, self.state_dict() if tensors is None else tensors)

    @classmethod
    def from_pretrained(cls, folder: Path | str, *, is_finite: bool = True) -> Self:
        """Return the model saved in `folder`, in eval mode. Raises UserError that names missing or unknown tensors.

        Args:
            is_finite: refuse weights that are nan or infinite; False for those of a run that diverged.
        """
        values, tensors = load_model_folder(Path(folder), is_finite=is_finite)
        if values["kind"] != cls.kind:
            held = TITLES.get(values["kind"], f"a {values['kind']!r}")
            raise UserError(f"{folder}: holds {held}; name {TITLES[cls.kind]}")
        model = cls(parse_saved_config(values["model"], folder), **cls._parse_arguments(values))
        load_strict(model, tensors, str(folder))
        return model.eval()

    @classmethod
    def _parse_arguments(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return {}


def parse_saved_config(values: Mapping[str, Any], folder: Path | str) -> ModelConfig:
    """Return the config of a saved model. Raises UserError for unknown fields or values."""
    return bind(ModelConfig, values, f"{folder}/{CONFIG}: model")


def save_model_folder(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write both files to the new folder `folder`: made beside it and published with one rename. Raises UserError."""
    if folder.exists():
        raise UserError(f"{folder}: exists already; name a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder.parent) as name:
        temporary = Path(name) / "model"
        temporary.mkdir()
        durable_io.write(
            temporary / WEIGHTS, save({key: value.detach().contiguous().cpu() for key, value in tensors.items()})
        )
        durable_io.write(temporary / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
        try:
            durable_io.publish_folder(temporary, folder)
        except durable_io.AlreadyExistsError:
            raise UserError(f"{folder}: exists already; name a new folder") from None


def load_model_folder(folder: Path, *, is_finite: bool = True) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return config.json and the tensors of `folder`; adapters are merged into the weights of their base.

    Raises UserError for a folder that holds no saved model, for adapters whose base is gone or has other weights, and
    for weights that are nan or infinite unless `is_finite` is False.
    """
    values, tensors = read_saved_config(folder), _load_tensors(folder, is_finite=is_finite)
    if "base" in values:
        base = bind(AdapterBase, values.pop("base"), f"{folder}/{CONFIG}: base")
        tensors = add_base(tensors, _load_base(folder, base), base)
    return values, tensors


def _load_tensors(folder: Path, *, is_finite: bool = True) -> dict[str, Tensor]:
    try:
        tensors = load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise missing_file(folder, error) from None
    except SafetensorError as error:
        raise UserError(f"{folder}: cannot be read as a saved model ({error})") from None
    if is_finite:
        refuse_nonfinite(tensors, str(folder / WEIGHTS))
    return tensors


def _load_base(folder: Path, base: AdapterBase) -> dict[str, Tensor]:
    """Return the tensors of the model that the adapters in `folder` belong to. Raises UserError."""
    path = Path(base.folder)
    if not (path / WEIGHTS).is_file():
        raise UserError(f"{folder}: holds adapters to {path}, where no saved model is; put it back there")
    if sha256_file(path / WEIGHTS) != base.sha256:
        raise UserError(f"{folder}: holds adapters to {path}, which has other weights now; put the earlier ones back")
    tensors = _load_tensors(path)
    missing = [name for name in base.tensors if name not in tensors]
    if missing:
        raise UserError(f"{folder}: holds adapters to {path}, which has no {missing[0]}")
    return tensors


def describe_misfit(title: str, *kinds: Sequence[str]) -> str:
    """Return a line for each tensor that does not fit, below the title; of many of a kind the first ones."""
    lines = [title, *(line for faults in kinds for line in faults[:_MAX_MISFITS])]
    more = sum(max(0, len(faults) - _MAX_MISFITS) for faults in kinds)
    if more:
        lines.append(f"  and {more:,} more; are the weights of another network, or of another size of it?")
    return "\n".join(lines)


def refuse_nonfinite(tensors: Mapping[str, Tensor], where: str) -> None:
    """Raise UserError for weights that are nan or infinite, of which a model says nothing but nan."""
    bad = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if bad:
        raise UserError(
            f"{where}: {count_noun(len(bad), 'tensor')} of {len(tensors):,} with nan or infinite values, as {bad[0]}; "
            "the training that wrote it diverged, or it is damaged: take other weights"
        )


def load_strict(model: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load `tensors`, which must be exactly those of the model. Raises UserError that lists wrong names."""
    current = model.state_dict()
    missing = [f"  missing: {name}" for name in current if name not in tensors]
    unknown = [f"  unknown: {name}" for name in tensors if name not in current]
    shapes = [
        f"  {name}: shape {tuple(tensor.shape)}, the model's is {tuple(current[name].shape)}"
        for name, tensor in tensors.items()
        if name in current and current[name].shape != tensor.shape
    ]
    if missing or unknown or shapes:
        raise UserError(describe_misfit(f"{where}: does not fit the model:", missing, unknown, shapes))
    model.load_state_dict(dict(tensors))


def initialize_encoders(model: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    """Load the encoders and the fusion that `model` shares with `tensors`; return the names that were not loaded.

    A pre-trained model initializes a classifier this way: decoders are dropped, head and layer weights stay new.
    """
    current = model.state_dict()
    shared = {
        name: tensor
        for name, tensor in tensors.items()
        if name.startswith(("encoder_", "fusion.")) and name in current and current[name].shape == tensor.shape
    }
    model.load_state_dict({**current, **shared})
    return [name for name in current if name not in shared]
