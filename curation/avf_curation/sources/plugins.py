"""Readers of corpora: what a source module states, checked, and the modules that other packages add.

A package adds a corpus by an entry point of the group `avf_foundry.sources`, of pictures of
`avf_foundry.picture_sources`. Its name is the source name, and its value is a module with the same constants and the
same function as those of this folder. Its code runs with the rights of the user, as that of any installed package does.
"""

import functools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol, TypeVar

from avf_shards.errors import UserError
from avf_shards.schema.clip_key import check_source_name
from avf_shards.system.installed_packages import find_addition, list_additions, load_addition, unusable

from avf_curation.sources.listing import Listing
from avf_curation.sources.types import Video

SOURCES = "avf_foundry.sources"
_KIND = "corpus"
#: What a source module states: name, types, and the types in words.
_STATED: tuple[tuple[str, tuple[type, ...], str], ...] = (
    ("NAME", (str,), "text"),
    ("ABOUT", (str,), "text"),
    ("LAYOUT", (str,), "text"),
    ("OWNERS_COUNT", (int, type(None)), "a whole number or None"),
    ("LABELLED", (bool,), "True or False"),
)


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Reader = TypeVar("Reader", bound=_Named)


@dataclass(frozen=True, kw_only=True)
class CorpusReader:
    """Reader of one corpus in the layout that its owners distribute."""

    name: str  # the source name that users type, and the start of every clip key
    about: str  # sentences on what the corpus holds, for `avf-curate sources ls --json`
    layout: str  # example paths below the corpus' folder
    clips: int | None  # as the owners count them; None where they publish no number
    labelled: bool  # whether its videos have labels
    #: Yields the inputs of a source; its other files are noted in the listing.
    list_videos: Callable[[Listing], Iterator[Video]]
    package: str | None = None  # name and version of the package that adds the corpus; None: it is one of ours


def check_source_module(module: ModuleType, function: str) -> None:
    """Raise TypeError for a module that lacks NAME, ABOUT, LAYOUT, OWNERS_COUNT, LABELLED or the function."""
    for name, types, words in _STATED:
        if not hasattr(module, name):
            raise TypeError(f"{module.__name__} has no {name}")
        if not isinstance(getattr(module, name), types):
            raise TypeError(f"{module.__name__}.{name} is {getattr(module, name)!r}, not {words}")
    if not callable(getattr(module, function, None)):
        raise TypeError(f"{module.__name__} has no function {function}")


def make_corpus_reader(module: ModuleType, package: str | None = None) -> CorpusReader:
    """Build the reader of a source module from its constants, which `check_source_module` looks at."""
    check_source_module(module, "list_videos")
    return CorpusReader(
        name=module.NAME,
        about=module.ABOUT,
        layout=module.LAYOUT,
        clips=module.OWNERS_COUNT,
        labelled=module.LABELLED,
        list_videos=module.list_videos if package is None else _check_videos(module, package),
        package=package,
    )


def _check_videos(module: ModuleType, package: str) -> Callable[[Listing], Iterator[Video]]:
    """Return the module's `list_videos`, of which a fault is told by the name of its package.

    The clip keys start with the source, and the plan trusts both; so what a package yields is looked at.
    """

    def list_videos(listing: Listing) -> Iterator[Video]:
        for video in list_checked(module.list_videos, listing, package):
            if not isinstance(video, Video) or video.source != listing.source:
                raise UserError(
                    f"--source {listing.source}={listing.root}: {package} lists {video!r:.200}, and not a Video "
                    f"whose source is {listing.source!r}; tell the owners of the package"
                )
            yield video

    return list_videos


def list_checked(
    list_inputs: Callable[[Listing], Iterator[object]], listing: Listing, package: str
) -> Iterator[object]:
    """Yield what a package lists. Raises UserError that names it for its errors, but for those of files."""
    try:
        yield from list_inputs(listing)
    except (UserError, OSError):
        raise
    except Exception as error:
        raise UserError(
            f"--source {listing.source}={listing.root}: {package} failed to read it "
            f"({type(error).__name__}: {error}); tell the owners of the package"
        ) from error


def plugin_names(group: str = SOURCES) -> list[str]:
    """Return the names of the corpora that installed packages add to a group, sorted."""
    return sorted(list_additions(group))


@functools.cache
def plugin_reader(name: str) -> CorpusReader | None:
    """Return the reader of a corpus that an installed package adds, or None where none adds it. Raises UserError."""
    return load_reader(SOURCES, name, make_corpus_reader)


def load_reader(group: str, name: str, make: Callable[[ModuleType, str], Reader]) -> Reader | None:
    """Return the reader of a corpus that an installed package adds to a group, or None where none adds it.

    Raises UserError for a package whose module cannot be imported, or is no source module, and where two packages add
    the corpus. It is not read as a plain folder instead, which would take what is no input.

    Args:
        group: of entry points.
        name: of the source.
        make: builds the reader of a module of a package.
    """
    where = f"--source {name}=..."
    addition = find_addition(group, name, where, _KIND)
    if addition is None:
        return None
    module = load_addition(addition, where, _KIND, check_source_name)
    try:
        if not isinstance(module, ModuleType):
            raise TypeError(f"{addition.entry.value} is {type(module).__name__}, not a module")
        reader = make(module, addition.package)
        if reader.name != name:
            raise TypeError(f"its module calls itself {reader.name!r}")
    except TypeError as error:
        raise UserError(unusable(addition, where, _KIND, error)) from error
    return reader


def list_plugins(
    group: str, own: Collection[str], load: Callable[[str], Reader | None]
) -> tuple[list[Reader], list[str]]:
    """Return the corpora that installed packages add to a group, and a sentence for each that cannot be used.

    Args:
        group: of entry points.
        own: names of our corpora, which keep them.
        load: returns the reader of a name.
    """
    readers, faults = [], []
    for name in plugin_names(group):
        if name in own:
            faults.append(f"{name}: a package adds a corpus of this name, which one of ours has; ours is read")
            continue
        try:
            reader = load(name)
        except UserError as error:
            faults.append(str(error))
        else:
            assert reader is not None
            readers.append(reader)
    return readers, faults
