"""Weight files that backends can use: where their owners publish them, how they are told apart, how they get here.

A file of known digest is checked against it. Where no digest is published, the first one seen is written to a lock file
and later loads are held to it. A download resumes and never leaves half a file under its final name.
"""

import hashlib
import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.format.tar import sha256_file

LOCK = "weights.lock.json"
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """sha256_prefix: as much of the digest as is published; empty where none is. backend: the name it gives a stage."""

    name: str
    file_name: str
    address: str
    sha256_prefix: str
    licence: str
    backend: str


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
    """$AVF_WEIGHTS, else the user's cache."""
    named = os.environ.get("AVF_WEIGHTS")
    return Path(named) if named else Path.home() / ".cache" / "avf-foundry" / "weights"


def weight_file(name: str) -> WeightFile:
    """The entry called `name`. Raises UserError."""
    if name not in KNOWN:
        raise UserError(f"{name!r}: no such weights; known are {', '.join(KNOWN)}")
    return KNOWN[name]


def find_weight(name: str, folder: Path) -> tuple[WeightFile, Path] | None:
    """The entry and its file in `folder`, checked; None where there is none. Raises UserError for a wrong digest."""
    entry = weight_file(name)
    path = folder / entry.file_name
    if not path.is_file():
        return None
    check_weights(entry, path, folder)
    return entry, path


def check_weights(entry: WeightFile, path: Path, folder: Path) -> str:
    """The digest of `path` if it is the right one; the first one seen is recorded. Raises UserError."""
    digest = sha256_file(path)
    expected = entry.sha256_prefix or _locked(folder).get(entry.name, "")
    if not digest.startswith(expected):
        where = "published" if entry.sha256_prefix else f"recorded in {folder / LOCK} when it was first seen"
        raise UserError(
            f"{path}: SHA-256 {digest[:16]}... is not the one {where} ({expected[:16]}...); the file is "
            f"damaged or another one. Remove it and get it again with avf-curate weights pull {entry.name}"
        )
    if not expected:
        _lock(folder, entry.name, digest)
    return digest


def pull_weights(
    name: str,
    folder: Path,
    take_from: Path | None = None,
    address: str | None = None,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Path:
    """Get one weight file into `folder`, from its owner's address or from a file the user has. Raises UserError."""
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
        check_weights(entry, part, folder)
    except UserError:
        part.unlink()
        raise
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    os.replace(part, final)
    return final


def _download(address: str, part: Path, progress: Callable[[int, int | None], None]) -> None:
    """Fetch `address` into `part`, going on after what is there already."""
    if not address.startswith(("http://", "https://")):
        raise UserError(f"{address}: not an http address")
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            resumed = answer.status == 206
            length = answer.headers.get("Content-Length")
            total = int(length) + (have if resumed else 0) if length else None
            done = have if resumed else 0
            with open(part, "ab" if resumed else "wb") as file:
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    progress(done, total)
            if total is not None and done < total:
                raise UserError(f"{address}: the connection ended at {done} of {total} bytes; the same command goes on")
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # everything is there already
            return
        raise UserError(f"{address}: the server answered {error.code}") from None
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(f"{address}: cannot be reached ({reason}); the same command goes on where it was") from None


def _locked(folder: Path) -> dict[str, str]:
    try:
        values = json.loads((folder / LOCK).read_bytes())
        return {str(name): str(digest) for name, digest in values.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError):
        raise UserError(f"{folder / LOCK}: not readable; remove it to trust the files beside it anew") from None


def _lock(folder: Path, name: str, digest: str) -> None:
    values = _locked(folder) | {name: digest}
    temporary = folder / (LOCK + ".part")
    temporary.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n")
    os.replace(temporary, folder / LOCK)


def short_digest(path: Path) -> str:
    """First 16 hex digits of a file's SHA-256, for fingerprints."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
