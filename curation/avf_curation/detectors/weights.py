"""Weight files that backends use: their owners' addresses, their digests, and the download.

The digest of each, or the start of it that its owner publishes, is in the table, and each load checks it. A download
resumes, and never leaves half a file or another file under its final name.
"""

import hashlib
import http.client
import logging
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.format.tar import sha256_file
from avf_shards.system.named_writes import append_bytes, write_bytes
from avf_shards.system.storage_faults import read_bytes

_CHUNK_BYTES = 1 << 20
log = logging.getLogger(__name__)
# None of the files has more than 110 MB: a server that sends more than this sends something else.
_MAX_BYTES = 500_000_000


class ReplacedWeightsError(UserError):
    """A weight file has other content than the run's identity names."""


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """A weight file as its owner publishes it."""

    name: str  # as `avf-curate weights` calls it
    file_name: str  # in the weights folder
    address: str  # where `weights pull` gets it
    sha256_prefix: str  # as many hex digits of the digest as are known
    licence: str  # and its owner in brackets; details in NOTICE
    backend: str  # name of the backend that uses it, as recipes and records write it


KNOWN = {
    file.name: file
    for file in (
        WeightFile(
            name="retinaface_mobilenet",
            file_name="retinaface_mobilenet0.25_Final.pth",
            address="https://github.com/xinntao/facexlib/releases/download/v0.1.0/detection_mobilenet0.25_Final.pth",
            sha256_prefix="2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220",
            licence="MIT (biubug6/Pytorch_Retinaface)",
            backend="retinaface-mobilenet",
        ),
        WeightFile(
            name="retinaface_resnet50",
            file_name="retinaface_resnet50_2020-07-20-f168fae3c.zip",
            address="https://github.com/ternaus/retinaface/releases/download/0.01/retinaface_resnet50_2020-07-20-f168fae3c.zip",
            # The owners publish these nine digits alone, in the file's name: 36 bits show damage, and no forgery.
            sha256_prefix="f168fae3c",
            licence="MIT (ternaus/retinaface)",
            backend="retinaface-resnet50",
        ),
        WeightFile(
            name="yunet",
            file_name="face_detection_yunet_2026may.onnx",
            # Git LFS: the address under raw.githubusercontent.com is that of a pointer.
            address="https://github.com/opencv/opencv_zoo/raw/47534e27c9851bb1128ccc0102f1145e27f23f98/models/face_detection_yunet/face_detection_yunet_2026may.onnx",
            sha256_prefix="ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0",
            licence="MIT (Shiqi Yu, opencv/opencv_zoo)",
            backend="yunet",
        ),
        WeightFile(
            name="syncnet",
            file_name="syncnet_v2.model",
            address="https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model",
            # The owners publish none; this is of the copy that one of them serves in VoxConverse's pipeline.
            sha256_prefix="961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442",
            licence="research only (VGG, Oxford)",
            backend="syncnet",
        ),
        WeightFile(
            name="lr_asd",
            file_name="lr_asd_finetuning_TalkSet.model",
            address="https://raw.githubusercontent.com/Junhua-Liao/LR-ASD/1b6dcd2d8fc2895683de6508ec6294ec47d388ca/weight/finetuning_TalkSet.model",
            sha256_prefix="6b4ef53694e874e96cf630198dc479c78aebb3993bbf166aee3d926dfe7d9342",
            licence="MIT (Junhua-Liao/LR-ASD)",
            backend="lr-asd",
        ),
        WeightFile(
            name="dlib_resnet",
            file_name="dlib_face_recognition_resnet_model_v1.dat",
            address="https://github.com/ageitgey/face_recognition_models/raw/167b671ea0fbaf40f77d4927561706c1679dd203/face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
            sha256_prefix="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
            licence="CC0 (Davis King, davisking/dlib-models)",
            backend="dlib-resnet",
        ),
    )
}


def default_weights_folder() -> Path:
    """Return $AVF_WEIGHTS, or a folder in the user's cache where it is not set. Raises UserError without HOME."""
    folder = os.environ.get("AVF_WEIGHTS")
    if folder:
        return Path(folder)
    try:
        return Path.home() / ".cache" / "avf-foundry" / "weights"
    except RuntimeError:  # the user has no entry in the system's list of users either
        raise UserError("HOME is not set, so that there is no cache for weights; set HOME or AVF_WEIGHTS") from None


def weight_file(name: str) -> WeightFile:
    """Return the weight file called `name`. Raises UserError for an unknown name."""
    if name not in KNOWN:
        raise UserError(f"{name!r}: no such weights; known are {', '.join(KNOWN)}")
    return KNOWN[name]


def find_weight(name: str, folder: Path) -> tuple[WeightFile, Path] | None:
    """Return a weight file and its path in `folder` after checking its digest, or None if the file is not there.

    Raises UserError for a wrong digest, and for what is no file.
    """
    entry = weight_file(name)
    path = folder / entry.file_name
    if not is_weight_file(path):
        return None
    _check_digest(entry, path, str(path))
    return entry, path


def is_weight_file(path: Path) -> bool:
    """Return whether there is a file at `path`. Raises UserError for anything else under that name, as for a folder."""
    if path.is_file():
        return True
    if path.is_dir():
        kind = "a folder"
    elif path.is_symlink():
        kind = "a link that leads to no file"
    elif path.exists():
        kind = "no plain file"
    else:
        return False
    raise UserError(f"{path}: is {kind}, and not the file with weights; move it away, or put the file there")


def read_weights(path: Path, digest: str | None = None) -> bytes:
    """Return the content of a weight file, which is hashed as it was read, and not as the path has it later.

    Args:
        path: the file.
        digest: the start of the SHA-256 of its content, as the run's identity has it; None takes any content.

    Raises:
        ReplacedWeightsError: the content has another digest.
    """
    data = read_bytes(path)
    actual = hashlib.sha256(data).hexdigest()
    if digest is not None and not actual.startswith(digest):
        raise ReplacedWeightsError(
            f"{path}: has SHA-256 {actual[:16]}..., but this run measures with {digest[:16]}...: the file was replaced "
            "since the run started, or is another one on this machine; put the file back, then the same command "
            "continues, or start a run in a new folder"
        )
    return data


@contextmanager
def copy_weights(path: Path, digest: str | None = None) -> Iterator[Path]:
    """Yield the path of a copy that nobody else writes to, for OpenCV, which opens a path itself.

    It takes bytes too, but then not the engine that it is asked for. Raises ReplacedWeightsError as `read_weights`.
    """
    with tempfile.TemporaryDirectory(prefix="avf-weights-") as folder:
        copy = Path(folder, path.name)
        write_bytes(copy, read_weights(path, digest))
        yield copy


def _check_digest(entry: WeightFile, path: Path, name: str) -> None:
    """Raise UserError, which begins with `name`, unless the file at `path` has the digest of `entry`."""
    digest = sha256_file(path)
    if not digest.startswith(entry.sha256_prefix):
        raise UserError(
            f"{name}: has SHA-256 {digest[:16]}..., but {entry.file_name} has {entry.sha256_prefix[:16]}...: the file "
            f"is damaged, or is another file. Get the right one with avf-curate weights pull {entry.name}"
        )


def pull_weights(
    name: str,
    folder: Path,
    take_from: Path | None = None,
    address: str | None = None,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Path:
    """Put a weight file into `folder` and return its path.

    Args:
        name: the weight file, one of KNOWN.
        folder: the weights folder; it is made if it does not exist.
        take_from: a file of the user to copy; None downloads.
        address: where to download from; None takes the owner's address.
        progress: called with the bytes received and the bytes in all, None if the server does not say.

    Raises:
        UserError: the file cannot be had, or has the wrong digest.
    """
    entry = weight_file(name)
    final = folder / entry.file_name
    if final.is_file():
        try:
            _check_digest(entry, final, str(final))
            return final
        except UserError:
            log.warning("%s: is damaged or another file, and is replaced", final)
    elif final.is_dir():
        is_weight_file(final)  # raises UserError: a folder is not replaced
    folder.mkdir(parents=True, exist_ok=True)
    part = final.with_name(final.name + ".part")
    if take_from is not None:
        if not take_from.is_file():
            raise UserError(f"--from {take_from}: no such file")
        shutil.copyfile(take_from, part)
        origin = str(take_from)
    else:
        origin = address or entry.address
        _download(origin, part, progress)
    try:
        _check_digest(entry, part, origin)
    except UserError:
        part.unlink()
        raise
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    os.replace(part, final)
    return final


def _download(address: str, part: Path, progress: Callable[[int, int | None], None]) -> None:
    """Download `address` to `part`, after the bytes that `part` already holds. Raises UserError."""
    if not address.startswith(("http://", "https://")):
        raise UserError(f"{address}: is not an address that starts with http:// or https://")
    present = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={present}-"} if present else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            _save_response(response, part, present, address, progress)
    except urllib.error.HTTPError as error:
        if error.code == 416 and present:  # Range Not Satisfiable: the file is complete, or is another one
            return
        raise UserError(f"{address}: the server answered {error.code}") from None
    # An answer that is no HTTP, or that ends early, is an HTTPException; the bytes that came are kept in `part`.
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
        raise UserError(f"{address}: cannot be reached ({reason}); the same command continues the download") from None


def _save_response(
    response: http.client.HTTPResponse,
    part: Path,
    present: int,
    address: str,
    progress: Callable[[int, int | None], None],
) -> None:
    """Write the body of a response to `part`, behind its `present` bytes where the server sends only the rest.

    Raises UserError for a body that is too long or ends early, and the errors of http.client.
    """
    # 206 Partial Content: the server sends the rest; any other status sends the file from its start.
    resumed = response.status == 206
    done = present if resumed else 0
    length = response.headers.get("Content-Length", "")
    total = int(length) + done if length.isdecimal() else None
    if not resumed:
        part.unlink(missing_ok=True)
    while done <= _MAX_BYTES and (total or 0) <= _MAX_BYTES and (chunk := response.read(_CHUNK_BYTES)):
        with append_bytes(part) as file:
            file.write(chunk)
        done += len(chunk)
        progress(done, total)
    if max(done, total or 0) > _MAX_BYTES:
        part.unlink(missing_ok=True)
        raise UserError(f"{address}: sends more than {_MAX_BYTES // 1_000_000} MB, which no weight file has")
    if total is not None and done < total:
        raise UserError(f"{address}: ended at {done} of {total} bytes; the same command continues the download")


def short_digest(path: Path) -> str:
    """Return the first 16 hex digits of a file's SHA-256, for fingerprints."""
    return sha256_file(path)[:16]
