"""Tracks of one person of one video, side by side, and the labels of their frames.

Shapes: N frames, D values of a stream, K label columns.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from avf_shards.errors import FaultError, UserError

from avf_training.framewise.ensemble.folds import media_stem
from avf_training.framewise.labels.label_track import LabelTrack
from avf_training.framewise.tracks.errors import DamagedFiles, DamagedTrackError, MissingTrackError
from avf_training.framewise.tracks.feature_track import FeatureTrack
from avf_training.framewise.tracks.frame_rates import check_same_rate
from avf_training.framewise.tracks.identity import ExtractorIdentity, TrackSubject
from avf_training.framewise.tracks.track_folder import TrackFolder
from avf_training.framewise.training.row_store import RowStore

StoredVectors = npt.NDArray[np.float32] | npt.NDArray[np.float16]
REPEATED_S = 1.0  # labels behind the last picture that repeat it; behind more of them pictures are missing
SOUND_REACH_S = 0.11  # a frame takes the nearest row of sound within half a step at five rows a second


@dataclass(frozen=True, kw_only=True)
class JoinedTracks:
    """The streams of one person, at the frames that every visual track has."""

    subject: TrackSubject
    fps: float
    frames_N: npt.NDArray[np.int64]
    times_s_N: npt.NDArray[np.float64]
    streams: tuple[StoredVectors, ...]  # (N, D) of each extractor, those of sound last; zeros where there is no sound
    inputs_sha256: str  # of the tracks


class JoinedTracksReader:
    """Reads the tracks of a person by several extractors, each always of the same weights."""

    def __init__(
        self,
        folder: Path,
        visual: Sequence[str],
        audio: Sequence[str],
        known: Mapping[str, ExtractorIdentity] = {},
        store: RowStore | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            folder: of the tracks.
            visual: extractors whose tracks are looked at.
            audio: extractors whose tracks are listened to.
            known: what the tracks of an extractor must be of; others are learned from the first.
            store: where the vectors go that are read; None: they stay in memory.
        """
        self._store = store
        self._folder, self.visual, self.audio = TrackFolder(folder), tuple(visual), tuple(audio)
        self.identities: dict[str, ExtractorIdentity] = dict(known)
        self.widths: dict[str, int] = {}

    def folders(self) -> list[Path]:
        """Return the folder of each extractor's tracks."""
        return [self._folder.folder_of(name) for name in (*self.visual, *self.audio)]

    def subjects(self, faults: list[str] | None = None) -> Iterator[TrackSubject]:
        """Yield every person with a track by the first extractor, by path.

        Args:
            faults: to which a sentence is added for each track that cannot be read.

        Raises UserError where there is no track, and, without `faults`, as `read_track` for one that cannot be read.
        """
        paths = self._folder.files_of(self.visual[0])
        if not paths:
            known = ", ".join(self._folder.extractors()) or "none"
            raise UserError(f"{self._folder.folder}: no tracks of {self.visual[0]}; it has those of {known}")
        for path in paths:
            try:
                subject = self._folder.read_file(path).subject
            except (UserError, FaultError) as error:  # damaged, or of a newer version
                if faults is None:
                    raise
                faults.append(str(error))
                continue
            yield subject

    def unlabelled(self, labelled: Iterable[TrackSubject]) -> tuple[str, ...]:
        """Return the names of tracks by the first extractor that are of none of these persons, SOURCE/VIDEO.parquet."""
        right = {self._folder.path(self.visual[0], subject) for subject in labelled}
        others = [path for path in self._folder.files_of(self.visual[0]) if path not in right]
        return tuple(f"{path.parent.name}/{path.name}" for path in others)

    def read(self, subject: TrackSubject) -> JoinedTracks:
        """Return the tracks of a person.

        Raises:
            MissingTrackError: an extractor has none of this video, or no frame is in all visual ones.
            DamagedTrackError: one cannot be read; `damaged_tracks` says which others cannot either.
            OtherTrackError: tracks of one extractor are of different weights or sizes.
            UserError: rates differ.
        """
        visual = [self._track(name, subject) for name in self.visual]
        audio = [self._sound(name, subject) for name in self.audio]
        base = visual[0]
        for track in (*visual, *audio):
            check_same_rate(f"{track.extractor.name} track of {subject}", track.fps, base.extractor.name, base.fps)
        frames_N = base.frames_N
        for track in visual[1:]:
            frames_N = np.intersect1d(frames_N, track.frames_N, assume_unique=True)
        if not len(frames_N):
            raise MissingTrackError(f"{subject}: no frame has a row in each of the tracks {', '.join(self.visual)}")
        looks = [track.vectors_ND[np.searchsorted(track.frames_N, frames_N)] for track in visual]
        sounds = [_nearest_rows(track, frames_N) for track in audio]
        listed = "\n".join(f"{track.extractor.digest} {track.inputs_sha256}" for track in (*visual, *audio))
        return JoinedTracks(
            subject=subject,
            fps=base.fps,
            frames_N=frames_N,
            times_s_N=base.times_s_N[np.searchsorted(base.frames_N, frames_N)],
            streams=tuple(each if self._store is None else self._store.keep(each) for each in (*looks, *sounds)),
            inputs_sha256=hashlib.sha256(listed.encode()).hexdigest(),
        )

    def damaged_tracks(self, subject: TrackSubject) -> list[DamagedTrackError]:
        """Return an error for each damaged track of a person, by whichever extractor."""
        damaged = DamagedFiles()
        for names, read in ((self.visual, self._track), (self.audio, self._sound)):
            for name in names:
                with suppress(UserError), damaged.collecting():
                    read(name, subject)
        return damaged.errors

    def _sound(self, name: str, subject: TrackSubject) -> FeatureTrack:
        """Return the sound of a person; two persons of one film, `_left` and `_right`, hear the film's."""
        try:
            return self._track(name, subject)
        except MissingTrackError as error:
            film = TrackSubject(source=subject.source, video_id=media_stem(subject.video_id))
            if film == subject:
                raise
            try:
                return self._track(name, film)
            except MissingTrackError:
                raise error from None

    def _track(self, name: str, subject: TrackSubject) -> FeatureTrack:
        track = self._folder.read(name, subject, identity=self.identities.get(name), width=self.widths.get(name))
        self.identities.setdefault(name, track.extractor)
        self.widths.setdefault(name, track.width)
        return track


def _nearest_rows(track: FeatureTrack, frames_N: npt.NDArray[np.int64]) -> StoredVectors:
    """Return the nearest row of sound for each frame, zeros where none is near."""
    right_N = np.clip(np.searchsorted(track.frames_N, frames_N), 1, max(1, len(track.frames_N) - 1))
    pair_N2 = np.stack([right_N - 1, np.minimum(right_N, len(track.frames_N) - 1)], 1)
    distance_N2 = np.abs(track.frames_N[pair_N2] - frames_N[:, None])
    nearest_N = pair_N2[np.arange(len(frames_N)), distance_N2.argmin(1)]
    rows_ND: StoredVectors = track.vectors_ND[nearest_N]
    rows_ND[distance_N2.min(1) > SOUND_REACH_S * track.fps] = 0
    return rows_ND


@dataclass(frozen=True, kw_only=True)
class LabelledRows:
    """The labels of a video at the rows of its tracks."""

    rows_R: npt.NDArray[np.int64]  # row of the tracks; the last one again for labels just behind it
    frames_R: npt.NDArray[np.int64]  # numbers of the frames that the labels belong to
    values_RK: npt.NDArray[np.float32]  # nan where not valid


def label_rows(tracks: JoinedTracks, labels: LabelTrack) -> LabelledRows:
    """Return the rows of tracks that have a label, by frame number.

    Pictures behind the last label are left out. Labels behind the last picture, up to a second, repeat it, as the SUN
    team's code does. Raises OtherTrackError where rates differ, UserError where no frame has both.
    """
    check_same_rate(f"labels of {labels.subject}", labels.fps, "its tracks", tracks.fps)
    behind_N = labels.frames_N - tracks.frames_N[-1]
    usable_N = np.isin(labels.frames_N, tracks.frames_N) | ((behind_N > 0) & (behind_N <= REPEATED_S * tracks.fps))
    frames_R = labels.frames_N[usable_N]
    if not len(frames_R):
        ends = [f"{each[0]} to {each[-1]}" for each in (labels.frames_N, tracks.frames_N)]
        raise UserError(f"{labels.subject}: labels are of the frames {ends[0]}, tracks of {ends[1]}; none has both")
    rows_R = np.minimum(np.searchsorted(tracks.frames_N, frames_R), len(tracks.frames_N) - 1)
    return LabelledRows(rows_R=rows_R, frames_R=frames_R, values_RK=labels.values_NK[usable_N])
