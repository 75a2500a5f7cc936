"""Models on disk: `model.safetensors` and `config.json` in one folder."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

from avf_shards import durable_io
from avf_shards.config import bind
from avf_shards.errors import UserError
from avf_shards.schema.versions import check_version, stamp
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from avf_training.models.config import ModelConfig

WEIGHTS, CONFIG = "model.safetensors", "config.json"


class Pretrained(nn.Module):
    """A model that can be saved and loaded; `kind` is its class's name in config.json."""

    kind: ClassVar[str]
    config: ModelConfig

    def settings(self) -> dict[str, Any]:
        """Arguments of the class besides the config, for config.json."""
        return {}

    def save_pretrained(self, folder: Path | str, tensors: Mapping[str, Tensor] | None = None) -> None:
        """Write the model into the new folder `folder`. tensors: its own, where it is spread over processes.

        Raises UserError when the name is taken.
        """
        config = stamp({"kind": self.kind, **self.settings(), "model": asdict(self.config)}, "saved model")
        save_folder(Path(folder), config, self.state_dict() if tensors is None else tensors)

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Self:
        """The model saved in `folder`, in eval mode. Raises UserError that names missing or unknown tensors."""
        values, tensors = load_folder(Path(folder))
        if values["kind"] != cls.kind:
            raise UserError(f"{folder}: holds a {values['kind']!r}, not a {cls.kind!r}")
        model = cls(saved_config(values["model"], folder), **cls._arguments(values))
        load_exactly(model, tensors, str(folder))
        return model.eval()

    @classmethod
    def _arguments(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return {}


def saved_config(values: Mapping[str, Any], folder: Path | str) -> ModelConfig:
    """The config of a saved model; one without `statistics` is of when there was only `shared`. Raises UserError."""
    return bind(ModelConfig, {"statistics": "shared", **values}, f"{folder}/{CONFIG}: model")


def save_folder(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Both files at once under `folder`, which must not exist: made beside it and published with one rename."""
    if folder.exists():
        raise UserError(f"{folder}: is there already; name a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder.parent) as name:
        made = Path(name) / "model"
        made.mkdir()
        durable_io.write(
            made / WEIGHTS, save({key: value.detach().contiguous().cpu() for key, value in tensors.items()})
        )
        durable_io.write(made / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
        try:
            durable_io.publish_folder(made, folder)
        except durable_io.AlreadyExistsError:
            raise UserError(f"{folder}: is there already; name a new folder") from None


def load_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """config.json and the tensors of `folder`. Raises UserError."""
    try:
        values = json.loads((folder / CONFIG).read_text("utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename or folder}: is not there; a saved model has {CONFIG} and {WEIGHTS}") from None
    except (ValueError, SafetensorError) as error:
        raise UserError(f"{folder}: cannot be read as a saved model ({error})") from None
    if not isinstance(values, dict) or not {"kind", "model"} <= values.keys():
        raise UserError(f"{folder / CONFIG}: is not the config of a saved model (it has no kind and model)")
    check_version(values, "saved model", str(folder / CONFIG))
    return values, tensors


def load_exactly(model: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load `tensors`, all of them and nothing else. Raises UserError that lists every name that is wrong."""
    own = model.state_dict()
    faults = [f"  missing: {name}" for name in own if name not in tensors]
    faults += [f"  unknown: {name}" for name in tensors if name not in own]
    faults += [
        f"  {name}: shape {tuple(tensor.shape)}, the model's is {tuple(own[name].shape)}"
        for name, tensor in tensors.items()
        if name in own and own[name].shape != tensor.shape
    ]
    if faults:
        raise UserError("\n".join([f"{where}: does not fit the model:", *faults]))
    model.load_state_dict(dict(tensors))


def initialize_encoders(model: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    """Load into `model` the encoders and the fusion it shares with `tensors`; the names it keeps as they were.

    A pre-trained model starts a classifier this way: decoders are left out, the head and layer weights stay new.
    """
    own = model.state_dict()
    shared = {
        name: tensor
        for name, tensor in tensors.items()
        if name.startswith(("encoder_", "fusion.")) and name in own and own[name].shape == tensor.shape
    }
    model.load_state_dict({**own, **shared})
    return [name for name in own if name not in shared]
