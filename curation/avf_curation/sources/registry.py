"""The inputs of a source: its name selects how its folder is read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from avf_curation.recipe import PlanConfig
from avf_curation.sources import (
    avcaffe,
    avspeech,
    casme2,
    casme3,
    celebvhq,
    cncvs,
    crema_d,
    dfew,
    iemocap,
    labelled_folder,
    mafw,
    mer24,
    mer2024,
    mer_multi,
    mmew,
    msp_improv,
    ravdess,
    samm,
    smic,
    voxceleb2,
    werewolf_xl,
)
from avf_curation.sources.face_track import read_face_track
from avf_curation.sources.folder import list_videos
from avf_curation.sources.types import SkippedInput, Video


@dataclass(frozen=True, kw_only=True)
class CorpusReader:
    """A corpus that is read as its owners lay it out. clips: as they count them."""

    name: str
    about: str
    layout: str
    clips: int
    labelled: bool
    read: Callable[[Path, list[SkippedInput]], Iterator[Video]]


def _corpus(module: ModuleType, labelled: bool) -> CorpusReader:
    name = module.__name__.rpartition(".")[2]
    return CorpusReader(
        name=name,
        about=(module.__doc__ or "").strip(),
        layout=module.LAYOUT,
        clips=module.OWNERS_COUNT,
        labelled=labelled,
        read=module.read,
    )


_UNLABELLED = (voxceleb2, avspeech, mer2024, cncvs, celebvhq)
_LABELLED = (
    *(mafw, dfew, mer_multi, mer24, iemocap, crema_d, ravdess, msp_improv, werewolf_xl, avcaffe),
    *(samm, casme2, smic, casme3, mmew),
)
CORPORA = (*(_corpus(one, False) for one in _UNLABELLED), *(_corpus(one, True) for one in _LABELLED))
"""Under these names; any other name is a plain folder, labelled if it holds a labels.csv."""


def corpus_reader(source: str) -> CorpusReader | None:
    """The corpus that a source's name stands for."""
    return next((corpus for corpus in CORPORA if corpus.name == source), None)


def list_inputs(source: str, root: Path, config: PlanConfig, skipped_inputs: list[SkippedInput]) -> Iterator[Video]:
    """Yield every input of a source and append what is no input to `skipped_inputs`.

    Raises UserError when the folder's layout is not the one that the source's name stands for.
    """
    corpus = corpus_reader(source)
    if corpus is not None:
        yield from corpus.read(root, skipped_inputs)
    elif labelled_folder.has_labels(root):
        yield from labelled_folder.read(root, source, config, skipped_inputs)
    else:
        yield from list_videos(root, source, config, skipped_inputs)


@dataclass(frozen=True, kw_only=True)
class SourceCheck:
    """What is there of a source. bad_tracks: owners' face tracks that cannot be read, path -> why (where looked at)."""

    source: str
    videos: int
    bytes: int
    groups: int
    speakers: int
    with_sound_beside: int
    ranges: int
    owners_count: int | None
    skipped_inputs: tuple[SkippedInput, ...]
    bad_tracks: dict[str, str]

    @property
    def kinds(self) -> dict[str, int]:
        """Kind of what was skipped -> how many."""
        found: dict[str, int] = {}
        for one in self.skipped_inputs:
            found[one.kind] = found.get(one.kind, 0) + 1
        return dict(sorted(found.items()))


def check_source(source: str, root: Path, config: PlanConfig) -> SourceCheck:
    """Read a source as a run would, and the owners' face tracks too. Raises UserError."""
    skipped_inputs: list[SkippedInput] = []
    videos = list(list_inputs(source, root, config, skipped_inputs))
    corpus = corpus_reader(source)
    bad = {}
    for video in videos:
        if video.boxes_path is not None and video.origin is not None:
            try:
                read_face_track(root / video.boxes_path, video.origin.id)
            except (OSError, ValueError) as error:
                bad[video.boxes_path] = str(error)
    return SourceCheck(
        source=source,
        videos=len(videos),
        bytes=sum(video.size_bytes for video in videos),
        groups=len({video.group_id for video in videos}),
        speakers=len({video.speaker for video in videos} - {None}),
        with_sound_beside=sum(video.sound_path is not None for video in videos),
        ranges=sum(video.start_s is not None for video in videos),
        owners_count=None if corpus is None else corpus.clips,
        skipped_inputs=tuple(skipped_inputs),
        bad_tracks=bad,
    )
