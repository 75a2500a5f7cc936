"""Mirrors of addresses in this process: attached without a request, or brought up to date and written back."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.stores.addresses import (
    MirroredFolder,
    has_lazy_extension,
    is_address_within,
    is_store_address,
    is_web_address,
    mirrored_folder,
)
from avf_shards.stores.mirror import StoreMirror
from avf_shards.system.mirror_registry import add_mirror, all_mirrors, name_addresses, push


def attach_mirror(mirrored: MirroredFolder) -> StoreMirror:
    """Make the mirror known to this process, without a request to the store, and return it."""
    try:  # here: fsspec belongs to the extras of stores
        from avf_shards.stores.fsspec_store import FsspecStore
        from avf_shards.stores.web_shards import WebShards
    except ModuleNotFoundError:
        protocol = mirrored.address.partition("://")[0]
        extra = {"abfs": "az", "http": "s3", "https": "s3"}.get(protocol, protocol)
        raise UserError(
            f"{mirrored.address}: this needs a package that is not installed; get it with\n"
            f"  pip install 'avf-foundry[{extra}]'"
        ) from None
    store = FsspecStore(mirrored.address)
    content = WebShards(store) if is_web_address(mirrored.address) else store
    mirror = StoreMirror(content, mirrored.folder, is_lazy=mirrored.is_lazy)
    add_mirror(mirror)
    return mirror


def attach_missing_mirrors(mirrored: Iterable[MirroredFolder]) -> None:
    """Make those mirrors known to this process that it does not know yet, as a worker on another machine."""
    known = {each.folder for each in all_mirrors()}
    for each in mirrored:
        if each.folder not in known:
            attach_mirror(each)


def attached_mirrors() -> tuple[MirroredFolder, ...]:
    """Return the mirrors that this process knows, to be sent to its workers."""
    return tuple(
        MirroredFolder(address=each.store.address, folder=each.folder, is_lazy=each.is_lazy)
        for each in all_mirrors()
        if isinstance(each, StoreMirror)
    )


def open_location(
    location: Path | str, is_lazy: Callable[[str], bool] = has_lazy_extension, *, pulls: bool = True
) -> Path:
    """Return the folder that a path or an address names; that of an address is a mirror.

    Raises UserError for what is no such address, and as `ObjectStore`.

    Args:
        is_lazy: which files of a mirror stay stand-ins until they are opened.
        pulls: bring the mirror up to date; False asks nothing of the store.
    """
    text = str(location)
    if not is_store_address(text):
        return Path(location)
    mirrored = mirrored_folder(text, is_lazy)
    mirror = attach_mirror(mirrored)
    if pulls:
        mirror.pull()
    return mirrored.folder


def store_mirror(folder: Path) -> StoreMirror | None:
    """Return the mirror that a folder is; None for any other folder."""
    return next((each for each in all_mirrors() if each.folder == folder and isinstance(each, StoreMirror)), None)


def lies_within(path: Path, folder: Path) -> bool:
    """Return whether a path is a folder or lies in it, on the disk or by the addresses that the two stand for."""
    if path.resolve().is_relative_to(folder.resolve()):
        return True
    return is_address_within(name_addresses(str(path.resolve())), name_addresses(str(folder.resolve())))


def address_of(folder: Path) -> str | None:
    """Return the address that a folder stands for; None for a folder that is no mirror of this process."""
    return next((each.address for each in all_mirrors() if each.folder == folder), None)


@contextmanager
def open_mirrors(mirrored: Iterable[MirroredFolder]) -> Iterator[None]:
    """Read what the stores hold, and write to them at the end what the block has changed, also after an error.

    Raises as `ObjectStore`.
    """
    mirrors: list[StoreMirror] = []
    try:
        for each in mirrored:
            mirrors.append(attach_mirror(each))
            if each.is_read:
                mirrors[-1].pull()
            else:
                each.folder.mkdir(parents=True, exist_ok=True)
                mirrors[-1].note_present()
        yield
    finally:
        for mirror in mirrors:
            push(mirror.folder)
