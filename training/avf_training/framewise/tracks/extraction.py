"""Tracks of every person of every video of shards, by one extractor; those that stand there already are left."""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from avf_shards.errors import FaultError, UserError
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.system import durable_io
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_training.data.storage import StorageConfig
from avf_training.framewise.tracks.errors import DamagedTrackError, MissingTrackError, OtherTrackError
from avf_training.framewise.tracks.extractor import TrackExtractor
from avf_training.framewise.tracks.feature_track import FeatureTrack, VectorType, read_track, write_track
from avf_training.framewise.tracks.footage import ClipFootage
from avf_training.framewise.tracks.identity import TrackSubject
from avf_training.framewise.tracks.track_folder import TrackFolder
from avf_training.inference.people import number_people_of_video
from avf_training.inference.video_clock import VideoClock
from avf_training.tasks.labelled_shards import LabelledShards

log = logging.getLogger(__name__)
Clips = list[tuple[int, ClipRecord]]
"""Number in the shards and record of each clip of a video or of a person."""
OnSubject = Callable[[TrackSubject, int, int], None]
"""Function that is told whose features come next, the number of the video from 1, and the number of videos."""


@dataclass(kw_only=True)
class ExtractionReport:
    """What became of each person of each video."""

    written: int = 0  # tracks
    skipped: int = 0  # tracks that stood there already, whole and of the same extractor and clips
    frames: int = 0  # vectors in the tracks that were written
    faults: list[str] = field(default_factory=list)  # a sentence for each video that has no track now, or not all


class TrackExtraction:
    """One extractor over all videos of shards, into a folder of tracks."""

    def __init__(
        self,
        shards: str,
        extractor: TrackExtractor,
        folder: Path,
        *,
        values: VectorType = "float32",
        videos: Path | str | None = None,
    ) -> None:
        """Open the shards.

        Args:
            shards: a folder of shards or its address.
            extractor: computes the vectors.
            folder: of the tracks.
            values: numbers that the tracks store.
            videos: the input that the clips are of, whose files tell when their first picture is shown; None: at 0.
        """
        self._shards = LabelledShards([shards], StorageConfig())
        self._extractor, self._folder = extractor, TrackFolder(folder)
        self._values, self._clock = values, VideoClock(videos)
        self.report = ExtractionReport()

    def run(self, on_subject: OnSubject) -> ExtractionReport:
        """Write the tracks that are missing, and return what became of all.

        Raises OtherTrackError, before anything is computed, where a track of this name is of other weights or settings,
        or of other clips; UserError for shards without a clip.
        """
        videos: dict[tuple[str, str], Clips] = {}
        for index, record in self._shards.records():
            videos.setdefault((record.source, record.video_id), []).append((index, record))
        if not videos:
            raise UserError(f"{', '.join(map(str, self._shards.shards))}: no clip in these shards")
        waiting = []
        for (source, video_id), clips in videos.items():
            subjects = self._missing(source, video_id, clips)
            if subjects:
                waiting.append(((source, video_id), subjects))
        for number, (_, subjects) in enumerate(waiting, 1):
            for subject, clips in subjects:
                on_subject(subject, number, len(waiting))
                self._write(subject, clips)
        return self.report

    def _missing(self, source: str, video_id: str, clips: Clips) -> list[tuple[TrackSubject, Clips]]:
        """Return the people of a video that have no track yet, each with its clips in order of time."""
        try:
            person_of = number_people_of_video(self._shards, clips)
        except FaultError as error:
            self.report.faults.append(f"{source}/{video_id}: {error}")
            return []
        people: dict[int, Clips] = {}
        for index, record in sorted(clips, key=lambda clip: clip[1].span.start_frame):
            people.setdefault(person_of[record.key], []).append((index, record))
        missing = []
        for person, of_person in sorted(people.items()):
            subject = TrackSubject(source=source, video_id=video_id, person=person)
            if self._stands(subject, of_person):
                self.report.skipped += 1
            else:
                missing.append((subject, of_person))
        return missing

    def _stands(self, subject: TrackSubject, clips: Clips) -> bool:
        """Return whether a track stands there; a damaged one is removed. Raises OtherTrackError."""
        path = self._path(subject)
        try:
            track = read_track(path, subject=subject, extractor=self._extractor.identity)
        except MissingTrackError:
            return False
        except DamagedTrackError as error:
            log.warning("%s", error)
            durable_io.remove(path)
            return False
        if track.inputs_sha256 != _digest_inputs(clips):
            raise OtherTrackError(
                f"{path}: was extracted from other clips of {subject}; remove it, or name another folder"
            )
        return True

    def _write(self, subject: TrackSubject, clips: Clips) -> None:
        try:
            track = self._extract(subject, clips)
            write_track(self._path(subject), track)
        except OtherTrackError:  # another process was faster
            self.report.skipped += self._stands(subject, clips)
            return
        except (FaultError, ValueError) as error:
            self.report.faults.append(f"{subject}: {error}")
            return
        self.report.written += 1
        self.report.frames += len(track.frames_N)

    def _extract(self, subject: TrackSubject, clips: Clips) -> FeatureTrack:
        frames, times, vectors = [], [], []
        last = 0
        for index, record in clips:
            rows = self._extractor.extract(ClipFootage(files=self._shards.read(index)))
            numbers_R = record.span.start_frame + 1 + rows.rows_R
            new_R = numbers_R > last  # clips of one person may share frames: the earlier clip has them
            frames.append(numbers_R[new_R])
            times.append(self._clock.clip_start_s(record) + rows.rows_R[new_R] / FRAMES_PER_SECOND)
            vectors.append(rows.vectors_RD[new_R])
            last = max(last, int(numbers_R[-1]) if len(numbers_R) else 0)
        vectors_ND = np.concatenate(vectors)
        return FeatureTrack(
            subject=subject,
            extractor=self._extractor.identity,
            fps=float(FRAMES_PER_SECOND),
            inputs_sha256=_digest_inputs(clips),
            frames_N=np.concatenate(frames),
            times_s_N=np.concatenate(times),
            vectors_ND=_to_half(vectors_ND) if self._values == "float16" else vectors_ND,
        )

    def _path(self, subject: TrackSubject) -> Path:
        return self._folder.path(self._extractor.identity.name, subject)


def _to_half(vectors_ND: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):  # what float16 cannot hold becomes infinity, and is refused as such
        return vectors_ND.astype(np.float16)


def _digest_inputs(clips: Sequence[tuple[int, ClipRecord]]) -> str:
    """Return the SHA-256 of the clips' keys, files and the settings that cut them, in hexadecimal digits."""
    listed = [[record.key, record.input_sha256, record.fingerprint] for _, record in clips]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()
