"""Addresses of stores as users write them, and the local folders in which their mirrors lie.

This module imports nothing heavy: command lines import it for their --help.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from avf_shards.errors import UserError

MIRRORS = "AVF_FOUNDRY_MIRRORS"
"""Environment variable: the folder for mirrors of stores, instead of ~/.cache/avf-foundry/mirrors."""

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_PROTOCOLS = ("s3", "gs", "az", "abfs", "memory")
_WEB_PROTOCOLS = ("http", "https")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
#: Name before the last one of a mirror. No address has it, so no mirror lies in another one: what is read of `s3://bucket`
#: is not written into the mirror of `s3://bucket/run`, and what lies there is not taken for files of `s3://bucket`.
_APART = "+"


_LAZY_EXTENSIONS = frozenset({"tar"})


def has_lazy_extension(name: str) -> bool:
    """Return whether a file of this name is read by ranges of bytes, and so need not be here as a whole."""
    return name.rpartition(".")[2].lower() in _LAZY_EXTENSIONS


@dataclass(frozen=True, kw_only=True)
class MirroredFolder:
    """A folder of a store and the local folder that stands for it. It can be sent to a worker on another machine."""

    address: str  # s3://bucket/folder
    folder: Path  # absolute, without links; the same on every machine
    is_lazy: Callable[[str], bool] = has_lazy_extension  # which files stay stand-ins until they are opened
    is_read: bool = True  # False: a folder that files are only written to


def is_store_address(text: str) -> bool:
    """Return whether a text is an address of a store that this program writes to."""
    match = _ADDRESS.fullmatch(text)
    return match is not None and match[1].lower() in _PROTOCOLS


def is_web_address(text: str) -> bool:
    """Return whether a text is an address of shards on a web server, which can only be read."""
    match = _ADDRESS.fullmatch(text)
    return match is not None and match[1].lower() in _WEB_PROTOCOLS


def mirrored_folder(address: str, is_lazy: Callable[[str], bool] = has_lazy_extension) -> MirroredFolder:
    """Return the mirror of an address; nothing is asked of the store. Raises UserError for what is no such address."""
    match = _ADDRESS.fullmatch(address)
    if match is None or match[1].lower() not in _PROTOCOLS + _WEB_PROTOCOLS:
        raise UserError(f"{address}: is no address of a store; one begins with {', '.join(_PROTOCOLS[:3])}://")
    names = [name for name in match[2].split("/") if name]
    host = names[0] if names else ""
    if is_web_address(address) and re.fullmatch(r"[A-Za-z0-9.-]+:[0-9]{1,5}", host):
        host = host.replace(":", "_")
    if not names or any(name in (".", "..") or _UNSAFE.search(name) for name in (host, *names[1:])):
        raise UserError(
            f"{address}: name a bucket and a folder, with letters, digits and . _ - alone, as in s3://bucket/runs/one"
        )
    protocol = match[1].lower()
    *above, name = (host, *names[1:])
    folder = mirrors_folder().joinpath(protocol, *above, _APART, name)
    return MirroredFolder(address=f"{protocol}://{'/'.join(names)}", folder=folder, is_lazy=is_lazy)


def is_address_within(address: str, folder: str) -> bool:
    """Return whether an address is that of a folder, or of something in it."""
    return f"{address}/".startswith(f"{folder}/")


def mirrors_folder() -> Path:
    """Return the absolute folder in which mirrors lie."""
    named = os.environ.get(MIRRORS)
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.path.realpath(named or os.path.join(cache, "avf-foundry", "mirrors")))
