"""Tracks of all that a source lists, by one extractor; those that stand there already are left."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from avf_shards.errors import FaultError
from avf_shards.text import count_noun

from avf_training.framewise.tracks.errors import OtherTrackError
from avf_training.framewise.tracks.extractor import TrackExtractor
from avf_training.framewise.tracks.feature_track import FeatureTrack, VectorType, write_track
from avf_training.framewise.tracks.frame_feed import FrameFeed
from avf_training.framewise.tracks.identity import TrackSubject
from avf_training.framewise.tracks.track_folder import TrackFolder, is_written
from avf_training.framewise.tracks.track_input import FootageStretch, TrackInput

log = logging.getLogger(__name__)
OnSubject = Callable[[TrackSubject, int, int], None]
"""Function that is told whose features come next, the number of the track from 1, and the number of tracks."""


@dataclass(kw_only=True)
class ExtractionReport:
    """What became of each person of each video."""

    written: int = 0  # tracks
    skipped: int = 0  # tracks that stood there already, whole and of the same extractor and input
    frames: int = 0  # vectors in the tracks that were written
    faults: list[str] = field(default_factory=list)  # a sentence for each track that is missing now


class TrackExtraction:
    """One extractor into a folder of tracks."""

    def __init__(
        self, extractor: TrackExtractor, folder: Path, values: VectorType = "float32", workers: int = 0
    ) -> None:
        """Remember where tracks go.

        Args:
            extractor: with its weights on a device.
            folder: of tracks.
            values: numbers that tracks store.
            workers: threads that decode pictures ahead of the network; the bytes of a track do not depend on them.
        """
        self._extractor, self._folder, self._values = extractor, TrackFolder(folder), values
        self._workers = workers
        self.report = ExtractionReport()

    def run(self, inputs: Iterable[TrackInput], on_subject: OnSubject) -> ExtractionReport:
        """Write the tracks that are missing, and return what became of all.

        Raises OtherTrackError, before anything is computed, where a track of this name is of other weights or settings,
        or of another input.
        """
        waiting = self.list_missing(inputs)
        with FrameFeed(self._extractor.picture_input, self._workers) as feed:
            for number, (each, stretches) in enumerate(feed.tracks(waiting), 1):
                on_subject(each.subject, number, len(waiting))
                self._write(each, stretches)
        return self.report

    def list_missing(self, inputs: Iterable[TrackInput]) -> list[TrackInput]:
        """Return the inputs whose track is missing, and count the others. Raises OtherTrackError as `run`."""
        missing, refused = [], []
        for each in inputs:
            try:
                if not self._stands(each):
                    missing.append(each)
            except OtherTrackError as error:
                refused.append(str(error))
        if refused:
            others = len(missing) + self.report.skipped
            closing = (
                f"\n{count_noun(len(refused), 'track')} of {len(refused) + others:,} cannot be extracted here; nothing "
                "was written"
            )
            raise OtherTrackError(refused[0] + (closing if len(refused) > 1 else ""))
        return missing

    def _stands(self, track_input: TrackInput) -> bool:
        """Return whether a track stands there, and count it; a damaged one is removed. Raises OtherTrackError."""
        subject, path = track_input.subject, self._path(track_input.subject)
        identity = self._extractor.identity

        def refusal(track: FeatureTrack) -> str:
            return (
                f"{path}: was extracted from another input of {subject} ({track_input.describe_change(track.fps)}); "
                "name that input, remove the track, or name another folder with --out or another name with --name"
            )

        if not is_written(path, subject, identity, inputs_sha256=track_input.inputs_sha256, refusal=refusal):
            return False
        self.report.skipped += 1
        return True

    def write(self, track_input: TrackInput) -> None:
        """Write a track, and count it, or what is wrong with its input. Raises OtherTrackError as `run`."""
        with FrameFeed(self._extractor.picture_input, self._workers) as feed:
            for each, stretches in feed.tracks([track_input]):
                self._write(each, stretches)

    def _write(self, track_input: TrackInput, stretches: Iterator[FootageStretch]) -> None:
        try:
            track = self._extract(track_input, stretches)
            write_track(self._path(track_input.subject), track)
        except OtherTrackError:  # another process was faster
            if not self._stands(track_input):
                raise
            return
        except (FaultError, ValueError) as error:
            self.report.faults.append(f"{track_input.subject}: {error}")
            return
        self.report.written += 1
        self.report.frames += len(track.frames_N)

    def _extract(self, track_input: TrackInput, stretches: Iterator[FootageStretch]) -> FeatureTrack:
        frames, times, vectors = [], [], []
        last = 0
        for stretch in stretches:
            rows = self._extractor.extract(stretch.footage)
            numbers_K, times_s_K, index_K = stretch.number(rows.rows_R)
            new_K = numbers_K > last  # stretches of one person may share frames: the earlier one has them
            frames.append(numbers_K[new_K])
            times.append(times_s_K[new_K])
            vectors.append(rows.vectors_RD[index_K[new_K]])
            last = max(last, int(numbers_K[-1]) if len(numbers_K) else 0)
        vectors_ND = np.concatenate(vectors)
        return FeatureTrack(
            subject=track_input.subject,
            extractor=self._extractor.identity,
            fps=track_input.fps,
            inputs_sha256=track_input.inputs_sha256,
            frames_N=np.concatenate(frames),
            times_s_N=np.concatenate(times),
            vectors_ND=_to_half(vectors_ND) if self._values == "float16" else vectors_ND,
        )

    def _path(self, subject: TrackSubject) -> Path:
        return self._folder.path(self._extractor.identity.name, subject)


def _to_half(vectors_ND: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):  # what float16 cannot hold becomes infinity, and is refused as such
        return vectors_ND.astype(np.float16)
