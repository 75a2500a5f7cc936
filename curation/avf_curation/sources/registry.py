"""The corpora that are read as their owners lay them out, and the reader that a source's name selects.

A corpus has the name that its module states in NAME; the file name of the module means nothing. Installed packages
add corpora (plugins.py); ours keep their names.
"""

import difflib
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.format.content import Content
from avf_shards.settings.config import Faults
from avf_shards.system.storage_faults import describe_fault, is_machine_fault

from avf_curation.recipe import PlanConfig, Recipe, has_pictures, load_recipe
from avf_curation.sources import labelled_folder
from avf_curation.sources.file_table import TABLE
from avf_curation.sources.folder import list_folder_videos
from avf_curation.sources.globs import first_match
from avf_curation.sources.listing import Listing
from avf_curation.sources.own_corpora import CORPORA
from avf_curation.sources.pictures.registry import (
    ADDED_PICTURES,
    PICTURE_CORPORA,
    PLAIN,
    PictureReader,
    content_of,
    picture_reader,
)
from avf_curation.sources.plugins import SOURCES, CorpusReader, plugin_names, plugin_reader
from avf_curation.sources.types import SkippedInput, Video

log = logging.getLogger(__name__)


_OWN_NAMES = (
    *(corpus.name for corpus in CORPORA),
    *(corpus.name for corpus in PICTURE_CORPORA if corpus.name != PLAIN.name),
)

# Ratio of difflib from which a name counts as a misspelt corpus: "voxceleb" has 0.94 to "voxceleb2", "mer2023" 0.86
# to "mer2024", and of the plain names in use none has more than 0.8.
_MIN_SIMILARITY = 0.85


def corpus_reader(source: str) -> CorpusReader | None:
    """Return the reader of the corpus that the name `source` stands for, or None for a plain folder.

    Raises:
        UserError: the name is not a corpus but resembles one, or the package that adds it cannot be used. Reading the
            corpus as a plain folder would take every file below it, labelled test clips and lists included, so such a
            name must not pass silently.
    """
    for corpus in CORPORA:
        if corpus.name == source:
            return corpus
    if picture_reader(source) is None and (added := plugin_reader(source)) is not None:
        return added
    similar = [] if picture_reader(source) is not None else _find_similar_corpora(source)
    if similar:
        known = ", ".join(sorted({*_OWN_NAMES, *_added_names()}))
        raise UserError(
            f"source name {source!r}: did you mean {' or '.join(similar)}? Known corpora are {known}. "
            f"To read the folder as plain videos, choose a name unlike a corpus, as in --source my_videos=DIR"
        )
    return None


def _list_corpus_names() -> list[str]:
    names = [*(corpus.name for corpus in CORPORA), *(corpus.name for corpus in PICTURE_CORPORA)]
    return [*names, *(name for name in _added_names() if name not in names)]


def _added_names() -> list[str]:
    """Return the names of the corpora that installed packages add, of videos and of pictures."""
    return sorted({*plugin_names(SOURCES), *plugin_names(ADDED_PICTURES)})


def load_recipe_for(sources: Iterable[str], path: Path | None, overrides: Sequence[str]) -> Recipe:
    """Return the recipe of `load_recipe`, whose names of sources are checked against the sources of a run.

    Raises:
        UserError: A line for each fault of the recipe, among them each name under `sources` and `hybrid.sources` that
            is neither a source of the run nor a corpus, so that its settings would never be used.
    """
    given = sorted(sources)
    recipe = load_recipe(
        path,
        overrides,
        lambda settings, faults: _check_source_names(given, settings.values, faults),
        content_of(given, recipe_has_pictures=has_pictures(path, overrides)),
    )
    videos = [name for name in given if corpus_reader(name) is not None]
    if recipe.content == "pictures" and videos:
        raise UserError(f"--source {videos[0]}=...: is a corpus of videos, and the recipe is one of pictures")
    return recipe


def _check_source_names(given: list[str], values: Mapping[str, Any], faults: Faults) -> None:
    """Add to `faults` each name in the tables of a recipe that is neither a `given` source nor a corpus."""
    choices = [*given, *_list_corpus_names()]
    hybrid = values.get("hybrid")
    quotas = hybrid.get("sources") if isinstance(hybrid, Mapping) else None
    known = f"{', '.join(given)} of --source, and the corpora of `avf-curate sources ls`"
    for table, names in (("sources", values.get("sources")), ("hybrid.sources", quotas)):
        for name in map(str, names if isinstance(names, Mapping) else ()):
            if name not in choices:
                near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}? Known are {known}" if near else f"known are {known}"
                faults.add(f"{table}.{name}", f"{table}.{name}: unknown source; {hint}")


def warn_about_unread_corpora(recipe: Recipe, sources: Iterable[str]) -> None:
    """Warn of each corpus that a recipe names, the run does not read, and that resembles a source of the run.

    A recipe may name corpora that the run does not read, as the recipe `hybrid` does; but perhaps its settings were
    meant for that source.
    """
    given, corpora = sorted(sources), _list_corpus_names()
    faults = Faults(recipe.positions)
    quotas = recipe.hybrid.sources if recipe.hybrid else {}
    for table, names in (("sources", recipe.sources), ("hybrid.sources", quotas)):
        unnamed = [source for source in given if source not in names and source not in corpora]
        for name in names:
            key = f"{table}.{name}"
            for source in difflib.get_close_matches(name, unnamed, n=1, cutoff=0.6) if name not in given else ():
                position = faults.position(key)
                log.warning("%s: %s names no source of this run; is it meant for %s?", position, key, source)


def _find_similar_corpora(source: str) -> list[str]:
    normalized = _normalize_name(source)
    names = {_normalize_name(name): name for name in (*_OWN_NAMES, *_added_names())}
    close = difflib.get_close_matches(normalized, names, n=3, cutoff=_MIN_SIMILARITY)
    longer = [name for name in names if normalized.startswith(name)]  # "mer2024_labelled", "avspeech_part2"
    # A misspelt name keeps its first letter; without this rule a folder called "speech" would be refused for avspeech.
    return [names[name] for name in dict.fromkeys([*longer, *close]) if name[0] == normalized[:1]]


def _normalize_name(name: str) -> str:
    """Return the letters and digits of `name` in lower case, with 0 for the letter O: "mer2024" for "Mer-2O24"."""
    return re.sub(r"[^a-z0-9]", "", name.lower()).replace("o", "0")


def list_inputs(
    source: str,
    root: Path,
    config: PlanConfig,
    skipped_inputs: list[SkippedInput],
    *,
    content: Content = "clips",
    follow_symlinks: bool = False,
) -> Iterator[Video]:
    """Yield every input of a source; files and rows that are no input go to `skipped_inputs`.

    Args:
        content: what the run is of; pictures: a plain folder is one of pictures.
        follow_symlinks: also take files to which links lead out of the source's folder.

    Raises:
        UserError: the folder has another layout than the corpus, a file of it cannot be read, or the source's name only
            resembles a corpus.
    """
    listing = Listing(source, root, skipped_inputs, follow_symlinks=follow_symlinks)
    return list_inputs_of(listing, config, content)


def list_inputs_of(listing: Listing, config: PlanConfig, content: Content = "clips") -> Iterator[Video]:
    """Yield every input of a listing's source, as `list_inputs`, which says what is raised."""
    source, root = listing.source, listing.root
    corpus = corpus_reader(source)
    pictures = picture_reader(source) or (PLAIN if content == "pictures" and corpus is None else None)
    already_skipped = len(listing.skipped_inputs)
    count = 0
    if pictures is not None:
        layout, videos = f"pictures of {pictures.name}", _list_picture_inputs(listing, pictures)
    elif corpus is not None:
        layout, videos = f"the corpus {corpus.name}", corpus.list_videos(listing)
    elif labelled_folder.has_labels(root):
        layout = f"a folder with {TABLE}"
        videos = labelled_folder.list_labelled_videos(listing, config)
    else:
        layout, videos = "a plain folder", list_folder_videos(listing, config)
    log.info("%s: reading %s as %s", source, root, layout)
    for video in _translate_faults(listing, videos):
        reason = _describe_exclusion(video.path, config)
        if reason is not None:
            listing.skip("excluded", video.path, reason)
            continue
        count += 1
        yield video
    kinds = count_kinds(listing.skipped_inputs[already_skipped:])
    skipped = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items()) or "nothing"
    log.info("%s: %s inputs, skipped %s", source, f"{count:,}", skipped)


def _list_picture_inputs(listing: Listing, reader: PictureReader) -> Iterator[Video]:
    return (picture.to_input(listing.source) for picture in reader.list_pictures(listing))


def _translate_faults(listing: Listing, videos: Iterator[Video]) -> Iterator[Video]:
    """Yield the videos. Raises UserError where a folder, a table or a list cannot be read because of the machine.

    A refusal of the source names a link that was not followed: what the source lacks may lie behind it.
    """
    try:
        yield from videos
    except OSError as error:
        if not is_machine_fault(error):
            raise
        raise UserError(
            f"--source {listing.source}={listing.root}: cannot be listed: {describe_fault(error)}; no plan was made, "
            "and the same command tries again"
        ) from error
    except UserError as error:
        if not listing.outside_links:
            raise
        link = min(listing.outside_links)
        raise UserError(
            f"{error}; {link} is a link that leads out of the corpus: --follow-symlinks follows it"
        ) from None


def _describe_exclusion(path: str, config: PlanConfig) -> str | None:
    """Return why the recipe's globs leave an input out, or None where they do not."""
    excluding = first_match(path, config.exclude)
    if excluding is not None:
        return f"plan.exclude has {excluding!r}"
    if config.include and first_match(path, config.include) is None:
        return "plan.include has no pattern for it"
    return None


def count_kinds(skipped_inputs: Iterable[SkippedInput]) -> dict[str, int]:
    """Return kind -> number of inputs that were skipped for it, in the order of the kinds' names."""
    return dict(sorted(Counter(skipped.kind for skipped in skipped_inputs).items()))
