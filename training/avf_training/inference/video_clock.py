"""The clock of a video as players show it, on which the time of a clip is told."""

import logging
from pathlib import Path

import av
from avf_shards.schema.clip_record import ClipRecord

from avf_training.inference.clip_input import find_clipped_video

log = logging.getLogger(__name__)


class VideoClock:
    """The times of clips in the files that they were cut from.

    Clips count from the first picture. Players count from what begins first, picture or sound, so where the picture
    begins later, all times are later by that. Without the file (shards alone) it is taken for 0.
    """

    def __init__(self, videos: Path | str | None) -> None:
        """Remember where the videos are.

        Args:
            videos: the input that the clips are of: a video, a folder of videos, the output of `avf-curate clip`.
        """
        self._videos = None if videos is None or "://" in str(videos) else Path(videos)
        self._first_picture_s: dict[Path, float] = {}

    def clip_start_s(self, record: ClipRecord) -> float:
        """Return the time of a clip's first frame in seconds of its file."""
        file = None if self._videos is None else find_clipped_video(self._videos, record.path)
        if file is not None and file not in self._first_picture_s:
            self._first_picture_s[file] = first_picture_s(file)
        offset_s = 0.0 if file is None else self._first_picture_s[file]
        return offset_s + (record.start_s or 0.0) + record.span.start_s


def first_picture_s(file: Path) -> float:
    """Return how many seconds after the start of a file its first picture is shown; 0 where that cannot be read."""
    try:
        with av.open(str(file)) as container:
            video = next(iter(container.streams.video), None)
            if video is None or video.start_time is None or video.time_base is None:
                return 0.0
            starts_s = [
                float(stream.start_time * stream.time_base)
                for stream in (*container.streams.video, *container.streams.audio)
                if stream.start_time is not None and stream.time_base is not None
            ]
            return float(video.start_time * video.time_base) - min(starts_s)
    except (OSError, av.FFmpegError) as error:
        log.debug("%s: its clock cannot be read (%s)", file, error)
        return 0.0
