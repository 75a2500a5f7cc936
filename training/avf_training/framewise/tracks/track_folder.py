"""A folder of tracks: FOLDER/EXTRACTOR/SOURCE/VIDEO.parquet, and VIDEO@1.parquet for a second person."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from avf_shards.errors import FaultError, UserError
from avf_shards.system import durable_io

from avf_training.distributed.environment import log_of_rank_0
from avf_training.framewise.tracks.errors import DamagedTrackError, MissingTrackError, OtherTrackError
from avf_training.framewise.tracks.feature_track import FeatureTrack, read_track
from avf_training.framewise.tracks.identity import ExtractorIdentity, TrackSubject
from avf_training.framewise.tracks.track_file import ENDING
from avf_training.framewise.tracks.track_origin import track_kind

log = log_of_rank_0(__name__)

_MAX_NAME = 180  # characters of a quoted video id in a file name; file systems take 255 bytes with ending and person


@dataclass(frozen=True, kw_only=True)
class CheckedTrack:
    """A file of a folder of tracks, read and checked."""

    path: Path  # of the file
    track: FeatureTrack | None  # None where it cannot be used
    fault: str  # why it cannot be used, with its path; empty where it can


class TrackFolder:
    """Tracks of any number of extractors and videos under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, extractor: str, subject: TrackSubject) -> Path:
        """Return the file of a track. Any video id is safe in it: `/`, `@` and others are percent codes."""
        person = f"@{subject.person}" if subject.person else ""
        name = f"{_file_name(subject.video_id)}{person}{ENDING}"
        return self.folder / _file_name(extractor) / _file_name(subject.source) / name

    def folder_of(self, extractor: str) -> Path:
        """Return the folder of an extractor's tracks."""
        return self.folder / _file_name(extractor)

    def read(
        self,
        extractor: str,
        subject: TrackSubject,
        *,
        identity: ExtractorIdentity | None = None,
        width: int | None = None,
    ) -> FeatureTrack:
        """Return a track. Raises as `read_track`; a missing track says which extractors have one of the video."""
        path = self.path(extractor, subject)
        kind = track_kind(self.folder_of(extractor), extractor, identity)
        try:
            return read_track(path, subject=subject, extractor=identity, width=width, kind=kind)
        except MissingTrackError:
            others = [name for name in self.extractors() if self.path(name, subject).is_file()]
            known = f"{subject} has tracks of {', '.join(others)}" if others else f"{subject} has no track here"
            raise MissingTrackError(f"{path}: no such track ({known}); `{kind.written_by}` writes it") from None

    def extractors(self) -> list[str]:
        """Return the names of the extractors that have a folder here."""
        if not self.folder.is_dir():
            return []
        folders = (path.name for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        return sorted(unquote(name, errors="surrogateescape") for name in folders)

    def files_of(self, extractor: str) -> list[Path]:
        """Return the files of an extractor's tracks, sorted. Raises as `files`."""
        folder = self.folder_of(extractor).name
        return [path for path in self.files() if path.parents[1].name == folder]

    def files(self) -> list[Path]:
        """Return the files of all tracks, sorted. Raises UserError for a folder that is missing."""
        if not self.folder.is_dir():
            raise UserError(f"{self.folder}: no such folder of tracks; `avf-train extract --out` writes one")
        return sorted(path for path in self.folder.glob(f"*/*/*{ENDING}") if not path.name.startswith("."))

    def read_file(self, path: Path) -> FeatureTrack:
        """Return the track of one of these files, of whomever it is. Raises as `read_track`."""
        folder = path.parents[1]
        return read_track(path, kind=track_kind(folder, unquote(folder.name, errors="surrogateescape")))

    def check(self) -> Iterator[CheckedTrack]:
        """Read every track; yield each with its fault, also where it lies under another's name."""
        for path in self.files():
            try:
                track = self.read_file(path)
            except (UserError, FaultError) as error:
                yield CheckedTrack(path=path, track=None, fault=str(error))
                continue
            right = self.path(track.extractor.name, track.subject)
            fault = f"{path}: is of {track.subject} by {track.extractor.name}; its name is {right}"
            yield CheckedTrack(path=path, track=track, fault="" if path == right else fault)


def is_written(
    path: Path,
    subject: TrackSubject,
    identity: ExtractorIdentity,
    *,
    inputs_sha256: str,
    refusal: Callable[[FeatureTrack], str],
) -> bool:
    """Return whether the track of a subject stands at `path`; a damaged one is removed, and reported.

    Raises OtherTrackError for a track of another subject or extractor, and for one of other inputs with what `refusal`
    returns.
    """
    try:
        track = read_track(path, subject=subject, extractor=identity)
    except MissingTrackError:
        return False
    except DamagedTrackError as error:
        log.warning("%s; it is written anew", error.fault)
        durable_io.remove(path)
        return False
    if track.inputs_sha256 != inputs_sha256:
        raise OtherTrackError(refusal(track))
    return True


def _file_name(text: str) -> str:
    """Return a name without a path in it; long ones are cut and get a digest."""
    name = quote(text, safe="", errors="surrogateescape").replace("~", "%7E")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) <= _MAX_NAME:
        return name
    return f"{name[:_MAX_NAME]}~{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"
