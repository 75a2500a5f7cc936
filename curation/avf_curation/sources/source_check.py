"""What a copy of a source holds, and what is wrong with it, counted before anything is decoded."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from avf_shards.schema.frame_labels import FrameLabels

from avf_curation.media.frame_rate import FrameRate, read_frame_rate
from avf_curation.media.types import MediaError
from avf_curation.recipe import PlanConfig
from avf_curation.sources.face_track import read_face_track
from avf_curation.sources.listing import LabelFile, Listing
from avf_curation.sources.registry import corpus_reader, count_kinds, list_inputs_of
from avf_curation.sources.types import SkippedInput, Video, utf8_name

# A header may state the duration alone, and frames at the end may not decode: so many labels more are no fault.
_ROUNDING_SHARE, _ROUNDING_FRAMES = 0.001, 1
_ROUNDING_S = 0.1  # by which forged segments may end behind the last frame


@dataclass(frozen=True, kw_only=True)
class FrameLabelCounts:
    """Counts of the labels of frames that a source has for one task."""

    videos: int  # inputs that have labels of the task
    frames: int  # labels of all inputs together
    invalid: int  # of them: a value of theirs is marked as not valid, or could not be read
    behind: int  # labels of frames behind the last one of their film
    unlabelled: int  # frames of films before the first or behind the last label


@dataclass(frozen=True, kw_only=True)
class SourceCheck:
    """Counts of the inputs in a source's folder, and the files and rows in it that are no input."""

    source: str  # name of the source
    videos: int  # inputs
    bytes: int  # of all inputs together
    groups: int  # recordings or sessions
    speakers: int  # 0 where the corpus does not name them
    with_sound_beside: int  # videos whose audio may come from a second file
    ranges: int  # videos that are a range of a longer file
    owners_count: int | None  # clips as the corpus' owners count them
    skipped_inputs: tuple[SkippedInput, ...]  # in the order in which they were noted
    frame_labels: dict[str, FrameLabelCounts]  # task -> counts; empty where single frames have no labels
    bad_tracks: dict[str, str]  # path of an owners' face track that cannot be read -> reason
    uncounted: dict[
        str, str
    ]  # path of a film with labels of frames or segments, whose frames cannot be counted -> reason

    @property
    def kinds(self) -> dict[str, int]:
        """Kind of skipped input -> number of them."""
        return count_kinds(self.skipped_inputs)


def check_source(source: str, root: Path, config: PlanConfig, *, follow_symlinks: bool = False) -> SourceCheck:
    """List a source as a run would, read the owners' face tracks, and count the frames of films that have labels.

    Args:
        follow_symlinks: as of `list_inputs`.

    Raises:
        UserError: as `list_inputs` does.
    """
    skipped_inputs: list[SkippedInput] = []
    listing = Listing(source, root, skipped_inputs, follow_symlinks=follow_symlinks)
    videos = list(list_inputs_of(listing, config))
    uncounted: dict[str, str] = {}
    counts = _count_frame_labels(videos, _read_rates(videos, root, uncounted), listing)
    corpus = corpus_reader(source)
    if corpus is None:  # lists of corpora say how long their videos are, and are compared as they are read
        _note_late_segments(videos, listing, uncounted)
    bad_tracks = {}
    for video in videos:
        if video.boxes_path is not None and video.origin is not None:
            try:
                read_face_track(root / video.boxes_path, video.origin.id)
            except (OSError, ValueError) as error:
                bad_tracks[video.boxes_path] = str(error)
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
        frame_labels=counts,
        bad_tracks=bad_tracks,
        uncounted=uncounted,
    )


def _note_late_segments(videos: Iterable[Video], listing: Listing, uncounted: dict[str, str]) -> None:
    """Note each video with a forged segment that ends behind its last frame, as its header says."""
    for video in videos:
        segments = video.labels.forgery.segments if video.labels and video.labels.forgery else None
        if not segments:
            continue
        name = utf8_name(video.path)
        try:
            rate = read_frame_rate(listing.root / video.path)
        except MediaError as error:
            uncounted[name] = str(error)
            continue
        last, seconds = max(segment.stop_s for segment in segments), rate.frames / rate.fps
        if last > seconds + _ROUNDING_S:
            listing.skip("bad_row", name, f"a forged segment ends at {last:g} s, and the video at {seconds:.2f} s")


def _read_rates(videos: Iterable[Video], root: Path, uncounted: dict[str, str]) -> dict[str, FrameRate]:
    """Return path -> rate and frames of each film with labels of frames, as its header says; note others.

    Folders of images are left out: their sources compare labels with the images' numbers.
    """
    rates: dict[str, FrameRate] = {}
    for video in videos:
        path = root / video.path
        if not (video.labels and video.labels.frames) or video.path in rates or path.is_dir():
            continue
        try:
            rates[video.path] = read_frame_rate(path)
        except MediaError as error:
            uncounted[utf8_name(video.path)] = str(error)
    return rates


def _count_frame_labels(
    videos: Iterable[Video],
    rates: Mapping[str, FrameRate],
    listing: Listing,
) -> dict[str, FrameLabelCounts]:
    """Return task -> counts; note the labels of frames that a film does not have, with the line of the first."""
    counts: dict[str, Counter[str]] = {}
    for video in videos:
        for task, labels in video.labels.frames.items() if video.labels else ():
            invalid = sum(any(map(math.isnan, values)) for values in zip(*labels.columns.values(), strict=True))
            count = counts.setdefault(task, Counter(behind=0, unlabelled=0))
            count.update(videos=1, frames=labels.frames, invalid=invalid)
            rate = rates.get(video.path)
            if rate is None:
                continue
            behind = _labelled_behind(labels, _last_frame(rate))
            count.update(behind=len(behind), unlabelled=_unlabelled(labels, rate))
            if behind:
                where = _find_line(listing.label_files.get((video.video_id, task)), behind[0], video)
                reason = _describe_behind(video, task, behind, rate)
                listing.skip("missing", where, reason)
    return {task: FrameLabelCounts(**count) for task, count in counts.items()}


def _last_frame(rate: FrameRate) -> int:
    """Return the last frame that a film can have, which is a little more than its header says."""
    return rate.frames + _ROUNDING_FRAMES + math.ceil(rate.frames * _ROUNDING_SHARE)


def _labelled_behind(labels: FrameLabels, last: int) -> list[int]:
    """Return the frames behind the last one of a film that have a valid label."""
    start = max(0, last + 1 - labels.first_frame)
    rows = zip(*(values[start:] for values in labels.columns.values()), strict=True)
    return [labels.first_frame + start + index for index, row in enumerate(rows) if not all(map(math.isnan, row))]


def _unlabelled(labels: FrameLabels, rate: FrameRate) -> int:
    """Return how many frames of a film lie before the first or behind the last label."""
    inside = min(labels.first_frame + labels.frames - 1, rate.frames) - labels.first_frame + 1
    return rate.frames - max(0, inside)


def _find_line(file: LabelFile | None, frame: int, video: Video) -> str:
    if file is None:
        return utf8_name(video.path)
    line = file.line_of(frame)
    return f"{file.path}:{line}" if line else file.path


def _describe_behind(video: Video, task: str, behind: list[int], rate: FrameRate) -> str:
    more = f" and {len(behind) - 1:,} frames behind it, to {behind[-1]}," if len(behind) > 1 else ""
    return (
        f"{task} of frame {behind[0]}{more} of {video.video_id}: {utf8_name(video.path)} has {rate.frames:,} frames by "
        "its header; is it the film that was labelled?"
    )
