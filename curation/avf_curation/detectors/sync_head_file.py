"""The file of a learned sync network: its weights as safetensors, with a card of how it was trained and calibrated."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from avf_shards.errors import FaultError, UserError
from avf_shards.schema.fields import Fields
from avf_shards.schema.versions import parse_json, stamp

from avf_curation.detectors.weights import read_weights

HEAD_FILE = "sync_head.safetensors"  # in the weights folder
PACKAGED_HEAD = Path(__file__).with_name(HEAD_FILE)
"""The network that the package ships, which is trained on GRID (docs/howto/calibrate.md)."""
PACKAGED_SHA256 = "c3e79906dbfece7295e4f642a932cb78b526507155096e5c3e0e661fe511254f"
CARD_KEY = "sync_head"  # key of the metadata
_MAX_BYTES = 1_000_000  # a file has about 160 kB
#: Kernel of each convolution: outputs, inputs, steps in time.
KERNELS: Mapping[str, tuple[int, int, int]] = {
    "mouth.0": (52, 11, 5),
    "mouth.1": (52, 52, 5),
    "mouth.2": (20, 52, 1),
    "sound.0": (36, 40, 5),
    "sound.1": (36, 36, 5),
    "sound.2": (36, 36, 5),
    "sound.3": (20, 36, 1),
}

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class HeadCard:
    """What a network was trained on, and how it did on people that were held out."""

    unit: float  # lead of the peak that counts as a confidence of 1
    seed: int  # of the training
    clips: int  # that it was trained on
    seconds: float  # of those clips
    people: int  # in those clips
    sources: tuple[str, ...]  # of those clips
    pieces: int  # of held-out people, on which it was calibrated
    told_share: float  # of those pieces: their offset is told, because the confidence is 1 or more
    right_share: float  # of the told pieces: within two frames

    @classmethod
    def from_fields(cls, fields: Fields) -> "HeadCard":
        """Return the card of a file. Raises FaultError for a value of another type."""
        return cls(
            unit=fields.number("unit"),
            seed=fields.integer("seed"),
            clips=fields.integer("clips"),
            seconds=fields.number("seconds"),
            people=fields.integer("people"),
            sources=tuple(fields.text_list("sources")),
            pieces=fields.integer("pieces"),
            told_share=fields.number("told_share"),
            right_share=fields.number("right_share"),
        )


@dataclass(frozen=True, kw_only=True)
class SyncHeadFile:
    """Content of a file."""

    weights: Mapping[str, Floats]  # "mouth.0.weight" (outputs, inputs, steps), "mouth.0.bias" (outputs,) and so on
    card: HeadCard  # of the training


def write_head(path: Path, file: SyncHeadFile) -> str:
    """Write a file at once and return its SHA-256; its bytes follow from the content alone."""
    from safetensors.numpy import save

    card = json.dumps(stamp(asdict(file.card), "sync head"), sort_keys=True)
    weights = {name: np.asarray(value, np.float32) for name, value in sorted(file.weights.items())}
    data = save(weights, {CARD_KEY: card})
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
    return hashlib.sha256(data).hexdigest()


def read_head(path: Path, digest: str | None = None) -> SyncHeadFile:
    """Return the content of a file.

    Raises UserError for a file that `learn-sync` did not write, and as `read_weights` for one with another digest.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    data = read_weights(path, digest)
    try:
        if len(data) > _MAX_BYTES:
            raise FaultError(f"has {len(data)} bytes")
        weights: dict[str, Any] = load(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        card = HeadCard.from_fields(Fields(parse_json(header.get(CARD_KEY, ""), "sync head", str(path)), str(path)))
        _check_shapes(weights)
        if not card.unit > 0:
            raise FaultError(f"its unit is {card.unit}")
    except (SafetensorError, FaultError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"{path}: is not a sync network of avf-curate learn-sync ({reason}); remove it, or learn it again"
        ) from None
    return SyncHeadFile(weights=weights, card=card)


def _check_shapes(weights: Mapping[str, Any]) -> None:
    """Raise FaultError unless the weights are those of the network, and finite."""
    shapes: dict[str, tuple[int, ...]] = {f"{name}.weight": kernel for name, kernel in KERNELS.items()}
    shapes |= {f"{name}.bias": kernel[:1] for name, kernel in KERNELS.items()}
    if weights.keys() != shapes.keys():
        raise FaultError("has other tensors")
    for name, shape in shapes.items():
        value = weights[name]
        if value.shape != shape or value.dtype != np.float32 or not np.isfinite(value).all():
            raise FaultError(f"{name} is not float32 of shape {shape}, or not finite")
