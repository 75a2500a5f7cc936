"""Digests of the modules whose code decides a verdict or a byte of a clip."""

import functools
import hashlib
from importlib import resources
from importlib.resources.abc import Traversable

from avf_shards.format.content import Content

# A folder stands for all modules in it.
DECIDING_MODULES = {
    "avf_curation": (
        "detectors",
        "execution/isolated.py",
        "media",
        "pipeline",
        "stages",
        "recipe.py",
        "sources/face_track.py",
        "sources/types.py",
    ),
    "avf_shards": (
        "schema",
        "format/denied_inputs.py",
        "format/denylist.py",
        "format/tar.py",
        "packing/near_duplicates.py",
        "sampling/hash_draw.py",
        "system/memory_limit.py",
        "system/storage_faults.py",
        "timeline.py",
    ),
}


#: Modules that decide nothing of a video: its runs go on where one of them changes.
PICTURE_MODULES = {
    "avf_curation": (
        "execution/isolated_pictures.py",
        "media/libtiff.py",
        "media/picture_damage.py",
        "media/picture_file.py",
        "pipeline/picture.py",
        "pipeline/picture_unit.py",
        "sources/pictures/mxnet_records.py",
        "stages/picture.py",
    ),
    "avf_shards": ("format/picture_record.py",),
}


@functools.cache
def code_digests(content: Content = "clips") -> dict[str, str]:
    """Return the start of the SHA-256 of each deciding module of a run, by its path in the package.

    Comments count too: a digest of the bytes is the same for every version of Python, one of the syntax is not.
    """
    digests: dict[str, str] = {}
    for package, shared in DECIDING_MODULES.items():
        own = PICTURE_MODULES[package]
        names = shared if content == "clips" else (*shared, *own)
        root = resources.files(package)
        for name in names:
            entry = root.joinpath(name)
            modules = (
                [(name, entry)] if entry.is_file() else [(f"{name}/{child.name}", child) for child in _files(entry)]
            )
            digests |= {f"{package}/{path}": _short_digest(module) for path, module in modules}
    if content == "clips":
        for package, names in PICTURE_MODULES.items():
            for name in names:
                digests.pop(f"{package}/{name}", None)
    return dict(sorted(digests.items()))


def _files(folder: Traversable) -> list[Traversable]:
    return [child for child in folder.iterdir() if child.name.endswith(".py")]


def _short_digest(module: Traversable) -> str:
    return hashlib.sha256(module.read_bytes()).hexdigest()[:16]
