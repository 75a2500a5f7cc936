"""The corpora of face pictures, the reader that a source's name selects, and what a copy of one lacks."""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from avf_shards.errors import UserError
from avf_shards.format.content import Content
from avf_shards.system.storage_faults import describe_fault, is_machine_fault

from avf_curation.sources.listing import Listing
from avf_curation.sources.own_corpora import CORPORA
from avf_curation.sources.pictures import (
    affectnet,
    casia_webface,
    celeba,
    folder,
    imdb_wiki,
    raf_db,
    webface260m,
)
from avf_curation.sources.pictures.types import Picture, PictureCounts
from avf_curation.sources.plugins import check_source_module, list_checked, load_reader, plugin_reader
from avf_curation.sources.types import SkippedInput

ADDED_PICTURES = "avf_foundry.picture_sources"
"""Group of the entry points by which installed packages add corpora of pictures."""
_OWN_VIDEOS = frozenset(corpus.name for corpus in CORPORA)


@dataclass(frozen=True, kw_only=True)
class PictureReader:
    """Reader of one corpus of pictures in the layout that its owners distribute."""

    name: str  # the source name that users type
    about: str  # sentences on what the corpus holds
    layout: str  # example paths below the corpus' folder
    pictures: int | None  # as the owners count them; None where they publish no number
    labelled: bool  # whether its pictures have labels
    list_pictures: Callable[[Listing], Iterator[Picture]]  # notes other files in the listing
    package: str | None = None  # name and version of the package that adds the corpus; None: it is one of ours


def make_picture_reader(module: ModuleType, package: str | None = None) -> PictureReader:
    """Build the reader of a module of pictures from its constants, which `check_source_module` looks at."""
    check_source_module(module, "list_pictures")
    return PictureReader(
        name=module.NAME,
        about=module.ABOUT,
        layout=module.LAYOUT,
        pictures=module.OWNERS_COUNT,
        labelled=module.LABELLED,
        list_pictures=module.list_pictures if package is None else _check_pictures(module, package),
        package=package,
    )


def _check_pictures(module: ModuleType, package: str) -> Callable[[Listing], Iterator[Picture]]:
    """Return the module's `list_pictures`, of which a fault is told by the name of its package."""

    def list_pictures(listing: Listing) -> Iterator[Picture]:
        for picture in list_checked(module.list_pictures, listing, package):
            if not isinstance(picture, Picture):
                raise UserError(
                    f"--source {listing.source}={listing.root}: {package} lists {picture!r:.200}, and not a Picture; "
                    "tell the owners of the package"
                )
            yield picture

    return list_pictures


_MODULES = (affectnet, raf_db, casia_webface, celeba, imdb_wiki, webface260m, folder)
PICTURE_CORPORA = tuple(make_picture_reader(module) for module in _MODULES)


def picture_reader(source: str) -> PictureReader | None:
    """Return the reader of the corpus of pictures that has this name, ours or that of a package, or None.

    Raises UserError for a package that cannot be used.
    """
    if source in _OWN_VIDEOS:
        return None
    return next((corpus for corpus in PICTURE_CORPORA if corpus.name == source), None) or added_pictures(source)


@functools.cache
def added_pictures(source: str) -> PictureReader | None:
    """Return the reader of a corpus of pictures that an installed package adds, or None. Raises UserError."""
    reader = load_reader(ADDED_PICTURES, source, make_picture_reader)
    if reader is not None and plugin_reader(source) is not None:
        raise UserError(
            f"--source {source}=...: installed packages add a corpus of videos and one of pictures of this name; "
            "uninstall one of them"
        )
    return reader


PLAIN = make_picture_reader(folder)
"""Reader of a folder that is no corpus."""


def content_of(sources: Iterable[str], *, recipe_has_pictures: bool) -> Content:
    """Return what a run of sources of these names is of: shards hold videos or pictures, and a run has one recipe.

    Raises UserError for a corpus of pictures beside a source that is not known to hold pictures.
    """
    names = sorted(sources)
    pictures = [name for name in names if picture_reader(name) is not None]
    others = ", ".join(name for name in names if name not in pictures)
    if pictures and others and not recipe_has_pictures:
        raise UserError(
            f"--source {pictures[0]}=...: holds pictures, and a run has pictures alone or none; curate {others} into "
            f"another folder, or say with --recipe pictures that {others} holds pictures too"
        )
    return "pictures" if pictures or recipe_has_pictures else "clips"


@dataclass(frozen=True, kw_only=True)
class PictureCheck:
    """Counts of the pictures in a source's folder, and the files and rows in it that are none."""

    source: str  # name of the source
    pictures: int
    bytes: int  # of all pictures together
    identities: int  # persons; 0 where the corpus does not name them
    owners_count: int | None  # pictures as the corpus' owners count them
    subsets: dict[str, int]  # train, validation or test -> pictures
    labels: dict[str, dict[str, int]]  # label -> value -> pictures
    numbers: dict[str, int]  # label that is a number, as valence -> pictures that have it
    skipped_inputs: tuple[SkippedInput, ...]  # in the order in which they were noted

    @property
    def kinds(self) -> dict[str, int]:
        """Kind of skipped input -> number of them."""
        return dict(sorted(Counter(skipped.kind for skipped in self.skipped_inputs).items()))


def check_pictures(reader: PictureReader, root: Path, *, follow_symlinks: bool = False) -> PictureCheck:
    """List a corpus of pictures and count it. Raises UserError for another layout, or a folder that is not readable."""
    skipped_inputs: list[SkippedInput] = []
    listing = Listing(reader.name, root, skipped_inputs, follow_symlinks=follow_symlinks)
    counts = PictureCounts()
    try:
        for picture in reader.list_pictures(listing):
            counts.add(picture)
    except OSError as error:
        if not is_machine_fault(error):
            raise
        raise UserError(f"--source {reader.name}={root}: cannot be listed: {describe_fault(error)}") from error
    return PictureCheck(
        source=reader.name,
        pictures=counts.pictures,
        bytes=counts.bytes,
        identities=len(counts.identities),
        owners_count=reader.pictures,
        subsets=dict(sorted(counts.subsets.items())),
        labels={name: dict(sorted(values.items())) for name, values in sorted(counts.labels.items())},
        numbers=dict(sorted(counts.numbers.items())),
        skipped_inputs=tuple(skipped_inputs),
    )
