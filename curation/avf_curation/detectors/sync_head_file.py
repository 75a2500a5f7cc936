"""The file of a learned sync network: its weights as safetensors, with a card of how it was trained and calibrated."""

import hashlib
import json
import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from avf_shards.errors import FaultError, UserError
from avf_shards.schema.fields import Fields
from avf_shards.schema.versions import check_version, parse_json, stamp
from avf_shards.system import durable_io

from avf_curation.detectors.face_components import AXES, COMPONENTS, MEAN, VALUES
from avf_curation.detectors.weights import read_weights

HEAD_FILE = "sync_head.safetensors"  # in the weights folder
CARD_KEY = "sync_head"  # key of the metadata
_MAX_BYTES = 1_000_000  # a file has about 160 kB
_UNITS = (1e-3, 1e4)  # least and largest unit: leads are in robust standard deviations, and most are 0.1 to 20
_MAX_EMBEDDING = 1e6  # largest value of the mean and the axes of embeddings, which are about 1 to 100
_KERNEL_SIZES = (1e-6, 100.0)  # least and largest of a kernel's largest weight; training ends at 0.1 to 0.3
_ADVICE = "move it away, or learn one with avf-curate learn-sync"
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
    #: Start of the SHA-256 of the LR-ASD weights by whose embedding it sees the face too; None, no field: lips alone.
    lr_asd: str | None = None

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
            lr_asd=fields.optional_text("lr_asd"),
        )

    def to_json(self) -> str:
        """Return the text of a file."""
        values = asdict(self)
        if self.lr_asd is None:
            del values["lr_asd"]
        return json.dumps(stamp(values, "sync head"), sort_keys=True)


@dataclass(frozen=True, kw_only=True)
class SyncHeadFile:
    """Content of a file."""

    weights: Mapping[str, Floats]  # "mouth.0.weight" (outputs, inputs, steps), "mouth.0.bias" (outputs,) and so on
    card: HeadCard  # of the training


def write_head(path: Path, file: SyncHeadFile) -> str:
    """Replace a file atomically and durably, and return its SHA-256; its bytes follow from the content alone.

    Two processes may do so at once: the file is that of one of them. Raises FaultError for a card or weights that
    `read_head` would refuse, and OSError.
    """
    from safetensors.numpy import save

    _check_card(file.card)
    _check_weights(file.weights, reads_embeddings=file.card.lr_asd is not None)
    weights = {name: np.asarray(value, np.float32) for name, value in sorted(file.weights.items())}
    data = save(weights, {CARD_KEY: file.card.to_json()})
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # of this process alone
    try:
        durable_io.write(temporary, data)
        durable_io.replace_by(temporary, path)
    except OSError as error:
        durable_io.remove(temporary)
        error.filename = str(path)  # people know no temporary file
        raise
    return hashlib.sha256(data).hexdigest()


def read_head(path: Path, digest: str | None = None) -> SyncHeadFile:
    """Return the content of a file.

    Raises UserError for a file that `learn-sync` did not write, and as `read_weights` for one with another digest.
    """
    data = read_weights(path, digest)
    try:
        weights, text = _split_file(data)
        if text is not None:
            values = _parse_card(text)
            card = HeadCard.from_fields(Fields(values, "its card"))
            _check_card(card)
            _check_weights(weights, reads_embeddings=card.lr_asd is not None)
            return SyncHeadFile(weights=weights, card=card)
    except UserError as error:  # of the version
        raise UserError(f"{path}: {error}; or {_ADVICE}") from None
    except FaultError as error:
        raise UserError(f"{path}: is not a sync network of avf-curate learn-sync ({error}); {_ADVICE}") from None
    raise UserError(f"{path}: has no card of learn-sync, so it is no sync network of this program; {_ADVICE}")


def _split_file(data: bytes) -> tuple[dict[str, Any], str | None]:
    """Return the tensors of a file and the text of its card, None where it has none. Raises FaultError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if len(data) > _MAX_BYTES:
        raise FaultError(f"has more than {_MAX_BYTES} bytes")
    try:
        weights: dict[str, Any] = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (SafetensorError, KeyError, ValueError):  # KeyError: a type that numpy has not
        raise FaultError("not readable as safetensors") from None
    return weights, (header.get("__metadata__") or {}).get(CARD_KEY)


def _parse_card(text: str) -> dict[str, Any]:
    """Return the values of a card. Raises FaultError for other text, and UserError for another version."""
    try:
        values = parse_json(text, None, "its card")
    except FaultError:
        raise FaultError("its card is not readable as a JSON object") from None
    check_version(values, "sync head", "its card")
    return values


def _check_card(card: HeadCard) -> None:
    """Raise FaultError for values that no training can write."""
    counts = {name: getattr(card, name) for name in ("seed", "clips", "seconds", "people", "pieces")}
    shares = {name: getattr(card, name) for name in ("told_share", "right_share")}
    wrong = {name: value for name, value in counts.items() if not 0 <= value < math.inf}
    wrong |= {name: value for name, value in shares.items() if not 0 <= value <= 1}
    if not _UNITS[0] <= card.unit <= _UNITS[1]:
        wrong["unit"] = card.unit
    for name, value in wrong.items():
        raise FaultError(f"its card has {name} {value:.6g}")
    if card.lr_asd is not None and not re.fullmatch("[0-9a-f]{16}", card.lr_asd):
        raise FaultError("its card has lr_asd, which is not the start of a SHA-256")


def kernels(*, reads_embeddings: bool) -> dict[str, tuple[int, int, int]]:
    """Return the kernel of each convolution, as KERNELS has them, of a network that may read embeddings too."""
    outputs, inputs, steps = KERNELS["mouth.0"]
    return {**KERNELS, "mouth.0": (outputs, inputs + COMPONENTS * reads_embeddings, steps)}


def _check_weights(weights: Mapping[str, Any], *, reads_embeddings: bool) -> None:
    """Raise FaultError unless the weights are those of the network, finite, and as large as training makes them."""
    of_network = kernels(reads_embeddings=reads_embeddings)
    shapes: dict[str, tuple[int, ...]] = {f"{name}.weight": kernel for name, kernel in of_network.items()}
    shapes |= {f"{name}.bias": kernel[:1] for name, kernel in of_network.items()}
    shapes |= {MEAN: (VALUES,), AXES: (VALUES, COMPONENTS)} if reads_embeddings else {}
    if weights.keys() != shapes.keys():
        raise FaultError("has other tensors")
    for name, shape in shapes.items():
        value = weights[name]
        if value.shape != shape or value.dtype != np.float32 or not np.isfinite(value).all():
            raise FaultError(f"{name} is not float32 of shape {shape}, or not finite")
        largest, least = float(np.abs(value).max()), _KERNEL_SIZES[0] if name.endswith(".weight") else 0.0
        if not least <= largest <= (_MAX_EMBEDDING if name in {MEAN, AXES} else _KERNEL_SIZES[1]):
            raise FaultError(f"{name} has {largest:.6g} as its largest weight")
