"""Frames of videos as labelled pictures: folders VIDEO/00001.jpg, joined with tracks of labels by frame number."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from avf_shards.errors import FaultError, UserError
from avf_shards.format.corpus import Corpus, Source
from avf_shards.system.storage_faults import raise_machine_fault, read_bytes
from avf_shards.text import count_noun

from avf_training.distributed.environment import log_of_rank_0
from avf_training.framewise.labels.label_track import LabelTrack, list_label_tracks
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.labels.trained_videos import TrainedVideo
from avf_training.framewise.pictures.labelled import LabelledPicture, LabelledPictures
from avf_training.framewise.pictures.shards import PICTURE
from avf_training.framewise.tracks.picture_folders import numbered_pictures

log = log_of_rank_0(__name__)


class FrameFolders:
    """Pictures of frames by number, with a corpus in which each video stands where a shard does."""

    def __init__(self, source: str, files_of: dict[str, list[Path]], digest: str) -> None:
        """Take the pictures of each video, in the order of their frames; `digest` covers names, sizes and labels."""
        counts = np.array([len(files) for files in files_of.values()], np.int64)
        videos = np.arange(len(counts))
        self._files = [file for files in files_of.values() for file in files]
        self.corpus = Corpus(
            digest=digest,
            shards=tuple(files_of),
            index_sha256=("",) * len(counts),
            first_clip=np.cumsum([0, *counts], dtype=np.int64),
            sources=(Source(name=source, shards=videos, clips=counts, seconds=0.0),),
            content="pictures",
        )

    def key(self, clip: int) -> str:
        """Return VIDEO/FRAME of a picture."""
        return frame_key(self._files[clip])

    def read(self, clip: int) -> dict[str, bytes]:
        """Return the encoded picture. Raises FaultError."""
        try:
            return {PICTURE: read_bytes(self._files[clip])}
        except OSError as error:
            raise_machine_fault(error)
            raise FaultError(f"{self._files[clip]}: cannot be read ({error.strerror})") from None


def frame_key(file: Path) -> str:
    """Return VIDEO/FRAME of a picture of a frame."""
    return f"{file.parent.name}/{file.stem}"


def read_labelled_frames(folder: Path, labels: Path, task: FrameLabelTask) -> list[LabelledPictures]:
    """Return the frames that have a picture and a label with a valid value, of each source of `labels`.

    Raises UserError where there is none, FaultError for two pictures of one frame.

    Args:
        folder: of the folders of pictures, one for each video.
        labels: folder that `avf-train frame-labels` wrote.
        task: of the labels.
    """
    by_source: dict[str, list[LabelTrack]] = {}
    missing = []
    for track in list_label_tracks(labels, task):
        if (folder / track.subject.video_id).is_dir():
            by_source.setdefault(track.subject.source, []).append(track)
        else:
            missing.append(track.subject.video_id)
    if missing:
        log.warning("%s: has no folder of %s with labels, as %s", folder, count_noun(len(missing), "video"), missing[0])
    if not by_source:
        raise UserError(f"{folder}: has no folder that is named as a video of which {labels} has labels")
    return [_join_tracks(folder, task, source, tracks) for source, tracks in sorted(by_source.items())]


def _join_tracks(folder: Path, task: FrameLabelTask, source: str, tracks: Sequence[LabelTrack]) -> LabelledPictures:
    """Return the labelled frames of one source."""
    files_of: dict[str, list[Path]] = {}
    pictures: list[LabelledPicture] = []
    rows = []
    digest = hashlib.sha256(f"{source} {task.name}".encode())
    for track in tracks:
        files, video = numbered_pictures(folder / track.subject.video_id), TrainedVideo.from_labels(track)
        taken = files_of.setdefault(str(track.subject), [])
        valid_N = np.isfinite(track.values_NK).any(1)
        for frame, values_K in zip(track.frames_N[valid_N].tolist(), track.values_NK[valid_N], strict=True):
            file = files.get(frame)
            if file is None:  # no face was seen in the frame
                continue
            digest.update(f"{file.name} {file.stat().st_size} {values_K.tolist()}\n".encode())
            number = len(pictures)
            taken.append(file)
            group = f"{source}/{track.group}"
            pictures.append(
                LabelledPicture(number=number, key=frame_key(file), group=group, subset=track.split, video=video)
            )
            rows.append(values_K)
    if not pictures:
        raise UserError(f"{folder}: no picture is of a frame of {source} with a label of --task {task.name}")
    frames = FrameFolders(source, {name: files for name, files in files_of.items() if files}, digest.hexdigest())
    return LabelledPictures(task, frames, pictures, np.array(rows, np.float32))
