"""Fetch a checkpoint that its authors publish: from the Hub at one commit, from an address, or a file of the user."""

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.format.tar import sha256_file
from avf_shards.hub.repository import MAIN, HubRepository
from avf_shards.hub.transfer import list_files, pull_files
from avf_shards.stores.addresses import is_web_address
from avf_shards.system.storage_faults import open_plain
from avf_shards.system.temporary_folder import claim_temporary_folder, clear_temporary_folder

from avf_training.models.published import PublishedCheckpoint, find_published, require_fetchable

log = logging.getLogger(__name__)
DownloadProgress = Callable[[int, int], None]
"""Called with the bytes received and the bytes in all."""


@dataclass(frozen=True, kw_only=True)
class FetchedCheckpoint:
    """A checkpoint on this machine, in its authors' format."""

    path: Path
    origin: str  # repository at its commit and the file in it, or an address, or the name of the user's file
    sha256: str  # of the file


@contextmanager
def fetch_checkpoint(
    name: str,
    beside: Path,
    source: str | None = None,
    revision: str | None = None,
    progress: DownloadProgress | None = None,
) -> Iterator[FetchedCheckpoint]:
    """Yield the checkpoint of a model as a file; what was downloaded from an address is removed at the end.

    A file of the Hub stays in its client's cache, which serves without a network.

    Args:
        name: model, as `PUBLISHED` names it, or a preset of which the user has a file.
        beside: path beside which a download has its temporary folder.
        source: the user's own file, or an address of a web server; None: where its owner publishes it.
        revision: branch, tag or commit of the Hub; None: the newest commit.

    Raises UserError where it cannot be had, and for a file that is not the published one by its MD5.
    """
    checkpoint = require_fetchable(name) if source is None else find_published(name)
    is_of_hub = source is None and checkpoint is not None and bool(checkpoint.repository)
    if revision is not None and not is_of_hub:
        raise UserError(f"{name}: --revision {revision} is of a repository on the Hub, and this comes from elsewhere")
    if is_of_hub and checkpoint is not None:
        yield _fetch_from_hub(checkpoint, revision or MAIN)
        return
    address = source or (checkpoint.address if checkpoint is not None else "")
    if not is_web_address(address):
        if not Path(address).is_file():
            raise UserError(f"{address}: no such file")
        yield _describe(Path(address), Path(address).name, checkpoint)
        return
    temporary = beside.with_name(f".pulling-{beside.name}")
    claim_temporary_folder(temporary)
    try:
        from avf_shards.stores.file_download import download_file  # here: fsspec belongs to extras

        path = temporary / "checkpoint"
        download_file(address, path, progress or (lambda done, total: None))
        yield _describe(path, address, checkpoint)
    finally:
        clear_temporary_folder(temporary)


def _fetch_from_hub(checkpoint: PublishedCheckpoint, revision: str) -> FetchedCheckpoint:
    repository = HubRepository(name=checkpoint.repository, kind="model", revision=revision)
    folder = pull_files(repository, [checkpoint.file])
    pinned = replace(repository, revision=folder.name)  # the client names the folder after the commit, offline too
    if not repository.is_pinned and not pinned.revision.startswith(checkpoint.commit):
        log.warning(
            "%s: was at commit %s when this program's table was written, and is at %s now",
            checkpoint.repository,
            checkpoint.commit,
            pinned.revision,
        )
    path = folder / checkpoint.file
    if not path.is_file():
        files = [name for name in list_files(pinned) if name.endswith((".pth", ".pt", ".bin", ".safetensors"))]
        raise UserError(
            f"{pinned}: has no file {checkpoint.file!r}; its checkpoints are {', '.join(files) or 'none'}. "
            "Fetch the one that you mean, and add --from FILE"
        )
    return _describe(path, f"{pinned}/{checkpoint.file}", checkpoint)


def _describe(path: Path, origin: str, checkpoint: PublishedCheckpoint | None) -> FetchedCheckpoint:
    """Return a file with its digest. Raises UserError where the owner prints the MD5 of another one."""
    if checkpoint is not None and checkpoint.md5:
        with open(path, "rb", opener=open_plain) as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if not md5.startswith(checkpoint.md5):
            raise UserError(
                f"{origin}: has the MD5 {md5[:6]}, and {checkpoint.owner} prints {checkpoint.md5} for "
                f"{checkpoint.file}: it is damaged, or is another file"
            )
    return FetchedCheckpoint(path=path, origin=origin, sha256=sha256_file(path))
