"""Face detectors that installed packages add, by entry points of the group `avf_foundry.face_finders`.

A recipe takes one with `faces.backend`, `track.backend` or both. Its value is a `FaceBackend`.
"""

import functools
import math
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from avf_shards.errors import UserError
from avf_shards.settings.config import refuse
from avf_shards.system.installed_packages import (
    Addition,
    code_digest,
    error_text,
    find_addition,
    load_addition,
    unusable,
)

from avf_curation.detectors.weights import ReplacedWeightsError
from avf_curation.media.types import Bytes
from avf_curation.stages.added_settings import FACE_FINDERS
from avf_curation.stages.definition import PackageFaultError
from avf_curation.stages.faces import Box, FacesBackend

FindFaces = Callable[[Sequence[Bytes], float], list[list[Box]]]
"""Images of one size, and that size over the source's -> the faces of each image, in pixels of the source."""
PixelFormat = Literal["gray", "bgr24"]
_KIND = "face detector"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_OWN = (*get_args(FacesBackend), "none", "syncnet", "lr_asd", "sync_head", "face_mesh", "silero", "transnetv2")


@dataclass(frozen=True, kw_only=True)
class FaceBackend:
    """A face detector of a package."""

    name: str  # as recipes have it
    about: str  # what it finds, and how far that can be trusted
    pixel_format: PixelFormat  # of the images that it takes: (H, W) or (H, W, 3)
    load: Callable[[], FindFaces]  # called once in each worker


@dataclass(frozen=True, kw_only=True)
class AddedFinder:
    """A face detector as the identity of a run has it. Plain values, so that each worker looks at its own package."""

    name: str
    project: str  # the package
    version: str  # of the package
    digest: str  # of all its files


@functools.cache
def find_face_backend(name: str) -> tuple[FaceBackend, AddedFinder] | None:
    """Return a face detector that an installed package adds, or None where none adds it. Raises UserError."""
    where = f"backend {name}"
    addition = find_addition(FACE_FINDERS, name, where, _KIND)
    if addition is None:
        return None
    backend = load_addition(addition, where, _KIND, _check_name)
    try:
        if not isinstance(backend, FaceBackend):
            raise ValueError(f"its entry point is {type(backend).__name__}, not a FaceBackend")
        refuse(
            (backend.name != name, f"it calls itself {backend.name!r}"),
            (backend.pixel_format not in get_args(PixelFormat), f"pixel_format {backend.pixel_format!r} is unknown"),
            (not callable(backend.load), "load is no function"),
        )
    except ValueError as error:
        raise UserError(unusable(addition, where, _KIND, error)) from error
    return backend, _describe(addition)


def resolve_added(backends: Collection[str]) -> tuple[AddedFinder, ...]:
    """Return those of these back-ends that packages add, sorted by name. Raises UserError where one cannot be used."""
    known = (find_face_backend(name) for name in sorted(backends) if not name.startswith(_OWN))
    return tuple(pair[1] for pair in known if pair is not None)


def _describe(addition: Addition) -> AddedFinder:
    return AddedFinder(
        name=addition.name, project=addition.project, version=addition.version, digest=code_digest(addition)
    )


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: use 1 to 40 lower-case letters, digits and '_', a letter first")
    if name.startswith(_OWN):
        raise ValueError(f"{name!r} begins with the name of a back-end of ours")


class CheckedFinder:
    """A face detector of a package, loaded once, of which every fault names the package."""

    def __init__(self, name: str, digest: str | None = None) -> None:
        """Load the detector.

        Args:
            name: as recipes have it.
            digest: of the package's files as the run began; None: any.

        Raises:
            ReplacedWeightsError: the package has other files here.
            UserError: no installed package adds it, or it cannot be loaded.
        """
        known = find_face_backend(name)
        if known is None:
            raise UserError(f"backend {name}: no installed package adds this {_KIND}; install the one that does")
        backend, added = known
        self._package = f"{added.project} {added.version}"
        if digest not in (None, added.digest):
            raise ReplacedWeightsError(
                f"backend {name}: {self._package} has other files here ({added.digest}) than as the run began "
                f"({digest}); install the same package on every machine"
            )
        self.pixel_format = backend.pixel_format
        try:
            self._find = backend.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            cause = f"{type(error).__name__}: {error_text(error)}"
            raise UserError(f"backend {name}: {self._package} cannot load it ({cause}); tell its owners") from error

    def find(self, images: Sequence[Bytes], scale: float, config: object) -> list[list[Box]]:
        """Return the faces of each image in pixels of the source; the settings of our detectors are not used."""
        views = [image.view() for image in images]
        for view in views:
            view.setflags(write=False)  # the images are looked at by others too
        try:
            faces = self._find(views, scale)
        except (MemoryError, ImportError, KeyboardInterrupt):
            raise
        except BaseException as error:  # exit() and a panic of Rust are no Exception
            raise PackageFaultError(f"{self._package}: {type(error).__name__}: {error_text(error)}") from error
        if not isinstance(faces, list) or len(faces) != len(images):
            raise PackageFaultError(f"{self._package}: returns no list with the faces of each of {len(images)} images")
        for box in (box for each in faces for box in each):
            edges = (box.left, box.top, box.right, box.bottom, box.score) if isinstance(box, Box) else ()
            if not edges or not all(map(math.isfinite, edges)) or box.right <= box.left or box.bottom <= box.top:
                raise PackageFaultError(f"{self._package}: {box!r:.120} is no box of a face")
        return [list(each) for each in faces]
