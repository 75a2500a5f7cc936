"""Weight files that backends use: their owners' addresses, their digests, and the download.

A file with a published digest is checked against that digest. For a file without one, the digest at first sight is
written to a lock file, once the file is seen to hold the model's tensors, and each later load must match it. A download
resumes, and never leaves half a file under its final name.
"""

import hashlib
import json
import logging
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.format.tar import sha256_file

LOCK_FILE = "weights.lock.json"
_CHUNK_BYTES = 1 << 20
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """A weight file as its owner publishes it."""

    name: str  # as `avf-curate weights` calls it
    file_name: str  # in the weights folder
    address: str  # where `weights pull` gets it
    sha256_prefix: str  # as many hex digits of the digest as are published; empty where none are
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
            sha256_prefix="f168fae3c",
            licence="MIT (ternaus/retinaface)",
            backend="retinaface-resnet50",
        ),
        WeightFile(
            name="syncnet",
            file_name="syncnet_v2.model",
            address="http://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model",
            sha256_prefix="",
            licence="research only (VGG, Oxford)",
            backend="syncnet",
        ),
    )
}


def default_weights_folder() -> Path:
    """Return $AVF_WEIGHTS, or a folder in the user's cache where it is not set."""
    folder = os.environ.get("AVF_WEIGHTS")
    return Path(folder) if folder else Path.home() / ".cache" / "avf-foundry" / "weights"


def weight_file(name: str) -> WeightFile:
    """Return the weight file called `name`. Raises UserError for an unknown name."""
    if name not in KNOWN:
        raise UserError(f"{name!r}: no such weights; known are {', '.join(KNOWN)}")
    return KNOWN[name]


def find_weight(name: str, folder: Path) -> tuple[WeightFile, Path] | None:
    """Return a weight file and its path in `folder` after checking its digest, or None if the file is not there.

    Raises UserError for a wrong digest.
    """
    entry = weight_file(name)
    path = folder / entry.file_name
    if not path.is_file():
        return None
    check_weights(entry, path, folder)
    return entry, path


def check_weights(entry: WeightFile, path: Path, folder: Path, name: str = "") -> str:
    """Return the SHA-256 of a weight file; record it where no digest was known.

    Args:
        entry: what the file should be.
        path: the file.
        folder: the weights folder, whose lock file is read.
        name: what messages call the file; its path where empty.

    Raises:
        UserError: it is another file, or holds other tensors than the model's.
    """
    name = name or str(path)
    digest = sha256_file(path)
    expected = entry.sha256_prefix or _read_lock(folder).get(entry.name, "")
    if not digest.startswith(expected):
        origin, remedy = "published", ""
        if not entry.sha256_prefix:
            origin = f"recorded in {folder / LOCK_FILE} when the file was first seen"
            remedy = f"; if the recorded file was the wrong one, remove the entry {entry.name!r} there"
        raise UserError(
            f"{name}: has SHA-256 {digest[:16]}..., but {expected[:16]}... was {origin}: the file is damaged, or is "
            f"another file. Get the right one with avf-curate weights pull {entry.name}{remedy}"
        )
    if not expected:
        _check_tensors(path, name)
        _write_lock(folder, entry.name, digest)
        log.info("%s: recorded SHA-256 %s in %s; later loads must match it", name, digest[:16], folder / LOCK_FILE)
    return digest


def _check_tensors(path: Path, name: str) -> None:
    """Raise UserError unless the file holds the tensors of SyncNet, the only model whose digest nobody published."""
    from avf_curation.detectors.syncnet import SyncNet
    from avf_curation.detectors.weight_files import fill_model, load_weights

    fill_model(SyncNet(), load_weights(path, name), name)


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
        check_weights(entry, final, folder)
        return final
    folder.mkdir(parents=True, exist_ok=True)
    part = final.with_name(final.name + ".part")
    if take_from is not None:
        if not take_from.is_file():
            raise UserError(f"--from {take_from}: no such file")
        shutil.copyfile(take_from, part)
    else:
        _download(address or entry.address, part, progress)
    try:
        check_weights(entry, part, folder, str(take_from or final))
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
            # 206 Partial Content: the server sends the rest; any other status sends the file from its start.
            resumed = response.status == 206
            length = response.headers.get("Content-Length")
            total = int(length) + (present if resumed else 0) if length else None
            done = present if resumed else 0
            with open(part, "ab" if resumed else "wb") as file:
                while chunk := response.read(_CHUNK_BYTES):
                    file.write(chunk)
                    done += len(chunk)
                    progress(done, total)
            if total is not None and done < total:
                raise UserError(f"{address}: ended at {done} of {total} bytes; the same command continues the download")
    except urllib.error.HTTPError as error:
        if error.code == 416 and present:  # Range Not Satisfiable: the file is complete
            return
        raise UserError(f"{address}: the server answered {error.code}") from None
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(f"{address}: cannot be reached ({reason}); the same command continues the download") from None


def _read_lock(folder: Path) -> dict[str, str]:
    try:
        values = json.loads((folder / LOCK_FILE).read_bytes())
        return {str(name): str(digest) for name, digest in values.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError):
        raise UserError(
            f"{folder / LOCK_FILE}: is not a JSON object of digests; remove it, and the next load records them anew"
        ) from None


def _write_lock(folder: Path, name: str, digest: str) -> None:
    values = _read_lock(folder) | {name: digest}
    temporary = folder / (LOCK_FILE + ".part")
    temporary.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n")
    os.replace(temporary, folder / LOCK_FILE)


def short_digest(path: Path) -> str:
    """Return the first 16 hex digits of a file's SHA-256, for fingerprints."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
