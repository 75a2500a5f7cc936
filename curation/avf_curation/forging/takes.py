"""The stretch of a video that forgeries are made of, in memory: frames, sound, and where the face is."""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.detectors.dlib_faces import DlibFaceDetector
from avf_curation.media.decode import MediaFile
from avf_curation.media.frame_converter import FrameConverter
from avf_curation.media.frame_rate import read_frame_rate
from avf_curation.media.types import FULL_SCALE, Bytes, MediaConfig, MediaError, TimeRange

Floats = npt.NDArray[np.float64]
MARGIN_FRAMES = 14
"""Frames at either end that no output has, the real one neither: where sound comes late, other sound comes before."""
MIN_FRAMES = 2 * MARGIN_FRAMES + 50
_LONG_SIDE_PX, _FACE_SIDE_PX = 640, 320  # of the frames, and of what the face detector looks at
_FACE_STEP = 8  # every eighth frame is looked at; between them the face moves evenly
_MIN_FACE_SHARE = 0.6  # of the frames looked at; below it the video has no face to forge


class TooShortError(MediaError):
    """Raised for a video that is too short to forge. Runs take it, so it is no kind of failure in a ledger."""


@dataclass(frozen=True, kw_only=True)
class Take:
    """A stretch of a video."""

    frames_THWC: Bytes  # BGR, even height and width
    samples_S: Floats  # 16 kHz, from -1 to 1, 640 for each frame
    has_sound: bool  # False: the samples are zeros

    @property
    def frames(self) -> int:
        """The number of frames."""
        return len(self.frames_THWC)

    @cached_property
    def boxes(self) -> Floats | None:
        """The face of each frame, (T, 4) left, top, right and bottom in pixels; None: most frames show none."""
        return find_boxes(self.frames_THWC)


@cache
def _detector() -> DlibFaceDetector:
    return DlibFaceDetector()


def read_take(path: Path, max_seconds: float, config: MediaConfig) -> Take:
    """Return the middle of a video, `max_seconds` long at most, shrunk to 640 pixels on its longer side.

    Raises:
        MediaError: the file does not decode, or is too short.
    """
    rate = read_frame_rate(path)
    seconds = rate.frames / rate.fps
    within = None
    if seconds > max_seconds:
        start_s = (seconds - max_seconds) / 2
        within = TimeRange(start_s, start_s + max_seconds)
    converter, images = FrameConverter(), []
    with MediaFile(path, config, within=within) as media:
        for placed in media.frames():
            images.append(converter.long_side(placed.frame, _LONG_SIDE_PX, "bgr24")[0])
        if len(images) < MIN_FRAMES:
            seconds, least = (frames / FRAMES_PER_SECOND for frames in (len(images), MIN_FRAMES))
            raise TooShortError("too_short", f"{seconds:.2f} s of video, and {least:.2f} s are needed")
        if len({image.shape for image in images}) > 1:
            raise MediaError("picture_size", "the size of the picture changes")
        sound = media.audio(len(images))
    height, width = (side // 2 * 2 for side in images[0].shape[:2])
    frames_THWC = np.stack([image[:height, :width] for image in images])
    samples_S = np.zeros(len(images) * 640) if sound is None else sound.samples / FULL_SCALE
    return Take(
        frames_THWC=frames_THWC,
        samples_S=samples_S,
        has_sound=sound is not None and bool(np.abs(samples_S).max() > 1e-3),
    )


def find_boxes(frames_THWC: Bytes) -> Floats | None:
    """Return the largest face of each frame, (T, 4); None where most of the frames looked at have none."""
    step = max(1, round(max(frames_THWC.shape[1:3]) / _FACE_SIDE_PX))
    times, boxes = [], []
    looked_at = range(0, len(frames_THWC), _FACE_STEP)
    for t in looked_at:
        grey_HW = np.ascontiguousarray(frames_THWC[t, ::step, ::step].mean(2).astype(np.uint8))
        faces = _detector().detect(grey_HW, 1 / step, 1, 0.0)
        if faces:
            face = max(faces, key=lambda box: box.side)
            times.append(t)
            boxes.append((face.left, face.top, face.right, face.bottom))
    if len(times) < _MIN_FACE_SHARE * len(looked_at):
        return None
    every_T = np.arange(len(frames_THWC))
    return np.stack([np.interp(every_T, times, [box[edge] for box in boxes]) for edge in range(4)], axis=1)
