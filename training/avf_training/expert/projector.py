"""Tokens of an encoder become embeddings of a language model. Shapes: B clips, K tokens, C width, H hidden."""

import json
from pathlib import Path

from avf_shards.errors import FaultError, UserError
from avf_shards.schema.versions import check_version, stamp
from avf_shards.system import durable_io
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

_METADATA = "expert_projector"


class Projector(nn.Module):
    """Layer norm and a perceptron of two layers with GELU, as LLaVA's projector has it behind the norm."""

    def __init__(self, width: int, hidden: int) -> None:
        """Make a projector with new weights.

        Args:
            width: C, of the encoder's tokens.
            hidden: H, of the language model's embeddings.
        """
        super().__init__()
        self.width, self.hidden = width, hidden
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden))

    def forward(self, tokens_BKC: Tensor) -> Tensor:
        """Return embeddings (B, K, H). Raises UserError for tokens of another width."""
        if tokens_BKC.ndim != 3 or tokens_BKC.shape[-1] != self.width:
            raise UserError(f"tokens of shape {tuple(tokens_BKC.shape)}; this projector takes (B, K, {self.width})")
        embeddings_BKH: Tensor = self.layers(self.norm(tokens_BKC.to(self.norm.weight.dtype)))
        return embeddings_BKH

    def save(self, path: Path) -> None:
        """Write the weights and both widths as a .safetensors file."""
        values = stamp({"width": self.width, "hidden": self.hidden}, "expert projector")
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        durable_io.replace_file(path, save(tensors, {_METADATA: json.dumps(values)}))

    @classmethod
    def load(cls, path: Path) -> "Projector":
        """Return the projector in a file. Raises UserError for a missing or another file, FaultError for damage."""
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        try:
            with safe_open(path, "pt") as file:
                text = (file.metadata() or {}).get(_METADATA)
                if text is None:
                    raise UserError(f"{path}: is no projector that this program saved")
                values = json.loads(text)
                check_version(values, "expert projector", str(path))
                projector = cls(values["width"], values["hidden"])
                projector.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise FaultError(f"{path}: not readable as a projector ({' '.join(str(error).split())[:120]})") from None
        return projector
