"""Weights of speech encoders as Hugging Face publishes them, under torchaudio's names; no package of theirs is needed.

A path is a `.safetensors` or `.bin` file, or a folder that holds one. No code of a file is run.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from avf_shards.errors import UserError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchaudio.models import Wav2Vec2Model

from avf_training.conversion.convert import read_authors_checkpoint
from avf_training.models.pretrained import load_strict, refuse_nonfinite

FILE_NAMES = ("model.safetensors", "pytorch_model.bin")

_NAMES: tuple[tuple[str, str], ...] = (
    (r"^(wav2vec2|hubert)\.", ""),
    (r"^feature_projection\.", "encoder.feature_projection."),
    (r"^encoder\.(?!feature_projection\.)", "encoder.transformer."),
    # What older files call the two factors of the weight of positions.
    (r"\.conv\.weight_g$", ".conv.parametrizations.weight.original0"),
    (r"\.conv\.weight_v$", ".conv.parametrizations.weight.original1"),
)
"""(pattern of Hugging Face's name, torchaudio's), applied in this order to the whole name."""
_UNUSED = re.compile(r"^(masked_spec_embed|classifier\.|lm_head\.|projector\.|quantizer\.|project_(q|hid)\.)")


def torchaudio_names(names: list[str]) -> dict[str, str]:
    """Return Hugging Face's name -> torchaudio's, without heads and what is used in pre-training alone."""
    renamed = {}
    for name in names:
        ours = name
        for pattern, replacement in _NAMES:
            ours = re.sub(pattern, replacement, ours)
        if not _UNUSED.search(re.sub(_NAMES[0][0], "", name)):
            renamed[name] = ours
    return renamed


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, or of the one in a folder. Raises UserError."""
    if path.is_dir():
        files = [path / name for name in FILE_NAMES if (path / name).is_file()]
        if not files:
            raise UserError(f"{path}: holds neither {' nor '.join(FILE_NAMES)}; name the file")
        path = files[0]
    if path.suffix != ".safetensors":
        return read_authors_checkpoint(path)
    try:
        tensors = load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: damaged, or not a file of safetensors ({error})") from None
    refuse_nonfinite(tensors, str(path))
    return tensors


def load_huggingface(encoder: Wav2Vec2Model, tensors: Mapping[str, Tensor], where: str) -> Wav2Vec2Model:
    """Load an encoder's weights, all of them, in Hugging Face's names. Raises UserError that lists what does not fit.

    `where`: what the tensors were read from, for the message.
    """
    renamed = {ours: tensors[theirs] for theirs, ours in torchaudio_names(list(tensors)).items()}
    load_strict(encoder, renamed, where)
    return encoder


def load_dimension_head(head: nn.Module, tensors: Mapping[str, Tensor], where: str) -> nn.Module:
    """Load the published head of PDEM, whose tensors are called `classifier.*`. Raises UserError."""
    prefix = "classifier."
    load_strict(head, {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}, where)
    return head
