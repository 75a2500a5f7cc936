"""The file of an input's features in time: safetensors, which numpy, torch and JAX read without this program.

times_s   (N,) float64                  centre of each frame, in seconds from the input's start
audio     (N, L, D) float32 or float16  what is heard at each frame, in each layer; where asked for
video     (N, L, D) float32 or float16  what is seen at each frame, in each layer; where asked for

The text `frame_features` in its metadata is a JSON object, which says what the vectors are of and has the SHA-256 of
itself and of all of them.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from avf_shards.errors import FaultError, UserError
from avf_shards.schema.fields import Fields
from avf_shards.schema.versions import check_version, parse_json, stamp
from avf_shards.system import durable_io
from avf_shards.system.storage_faults import read_bytes
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from avf_training.timed_features.frame_rate import frame_centres_s

ENDING = ".safetensors"
_HEADER_KEY, _DIGEST = "frame_features", "sha256"
_ADVICE = "remove it, and write it again with avf-train frames"


@dataclass(frozen=True, kw_only=True)
class FrameHeader:
    """What the vectors of a file are of; two files with equal headers hold the same vectors."""

    input: str  # name of the file, or key of the clip
    input_sha256: str  # of name, size and parts of the file, or of what a clip is known by, in hexadecimal digits
    start_s: float  # when the input begins, in seconds of the video that a clip was cut from; 0 of a file
    model_sha256: str  # of the model's files, in hexadecimal digits
    fps: float  # frames a second
    context: str  # lattice or dense
    bands: str  # of sound: mean over the mel bands, or keep
    audio_layers: tuple[int, ...]  # layers of `audio`, 0 is what the first layer reads; empty without `audio`
    video_layers: tuple[int, ...]  # layers of `video`; empty without `video`
    values: str  # float32 or float16


@dataclass(frozen=True, kw_only=True)
class FrameFeatures:
    """The features in time of one input."""

    header: FrameHeader
    audio_NLD: Tensor | None
    video_NLD: Tensor | None

    @property
    def frames(self) -> int:
        """Return N."""
        return len(next(each for each in (self.audio_NLD, self.video_NLD) if each is not None))

    @property
    def times_s(self) -> Tensor:
        """Return the centres of the frames in seconds from the input's start, (N,)."""
        return torch.from_numpy(frame_centres_s(self.frames, self.header.fps))


def write_frame_features(path: Path, features: FrameFeatures) -> None:
    """Write the file in one step; one of this kind that stands there is replaced."""
    number = {"float32": torch.float32, "float16": torch.float16}[features.header.values]
    named = {"audio": features.audio_NLD, "video": features.video_NLD}
    tensors = {name: each.to("cpu", number).contiguous() for name, each in named.items() if each is not None}
    if any(not each.isfinite().all() for each in tensors.values()):
        raise FaultError(f"{path}: the vectors have values that {features.header.values} cannot hold")
    tensors["times_s"] = features.times_s
    header = stamp(asdict(features.header), "frame features")
    sealed = header | {_DIGEST: _digest(header, tensors)}
    data = save(tensors, {_HEADER_KEY: json.dumps(sealed, sort_keys=True)})
    durable_io.make_folder(path.parent)
    durable_io.replace_file(path, data)


def read_frame_features(path: Path | str) -> FrameFeatures:
    """Return what is in a file. Raises UserError for another file or a newer version, FaultError for a damaged one."""
    path = Path(path)
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; `avf-train frames` writes one") from None
    header = _parse_header(_metadata(data, path), path)
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise FaultError(f"{path}: is damaged ({error}); {_ADVICE}") from None
    if header.pop(_DIGEST, None) != _digest(header, tensors):
        raise FaultError(f"{path}: is damaged: its digest is another; {_ADVICE}")
    return FrameFeatures(
        header=_read_header(Fields(header, str(path))),
        audio_NLD=tensors.get("audio"),
        video_NLD=tensors.get("video"),
    )


def _parse_header(metadata: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the header in the metadata of a file. Raises UserError for that of another program."""
    if not isinstance(metadata.get(_HEADER_KEY), str):
        raise UserError(f"{path}: holds no features of frames; `avf-train frames` writes them")
    header = parse_json(metadata[_HEADER_KEY], None, str(path))
    check_version(header, "frame features", str(path))
    return header


def _metadata(data: bytes, path: Path) -> dict[str, Any]:
    """Return the metadata of safetensors; an empty one for another file."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > len(data) - 8:
        return {}
    try:
        header = json.loads(data[8 : 8 + size])
    except ValueError:
        return {}
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _read_header(fields: Fields) -> FrameHeader:
    return FrameHeader(
        input=fields.text("input"),
        input_sha256=fields.text("input_sha256"),
        start_s=fields.number("start_s"),
        model_sha256=fields.text("model_sha256"),
        fps=fields.number("fps"),
        context=fields.text("context"),
        bands=fields.text("bands"),
        audio_layers=tuple(int(layer) for layer in fields.items("audio_layers")),
        video_layers=tuple(int(layer) for layer in fields.items("video_layers")),
        values=fields.text("values"),
    )


def _digest(header: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 of a header and of the tensors by name, with their shapes, in hexadecimal digits."""
    digest = hashlib.sha256(f"{json.dumps(header, sort_keys=True)}\n".encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
