"""The timeline of an input: its video track, its audio track, and where either is missing.

Frame 0 is the first decoded frame of the first video stream; each frame stays until the next one comes. Sound is placed
against frame 0 by its own timestamps.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from avf_shards.timeline import SAMPLES_PER_FRAME, Span

from avf_curation.media.audio_stream import AudioStreamChoice

Bytes = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.int16]
FULL_SCALE = 32768  # of 16-bit samples


class MediaError(Exception):
    """Raised for an input that cannot be used. `kind` is a word for the ledger; the message says what is wrong."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, kw_only=True)
class MediaConfig:
    """Limits on one input."""

    max_duration_s: float  # longer declared durations are ignored; decoded timestamps beyond it fail the video
    max_pixels: int  # larger frames fail the video: a guard against decompression bombs
    max_gap_s: float  # a longer hole between timestamps counts as missing frames, not as a slow frame rate
    #: Sound tracks in these languages are preferred, the first most; codes as the files tag them, such as "eng".
    audio_languages: tuple[str, ...] = ()


@dataclass(frozen=True)
class TimeRange:
    """The part of a file that is the input."""

    start_s: float  # seconds after the first timestamp of the video, or of the sound in an input without video
    stop_s: float  # likewise; the end is exclusive

    @property
    def seconds(self) -> float:
        """The length of the range."""
        return self.stop_s - self.start_s


@dataclass(frozen=True, kw_only=True)
class PictureRun:
    """A stretch of the timeline whose frames have one size and shape."""

    start_frame: int  # the first index of the stretch
    width_px: int  # as a player shows it: upright, square pixels
    height_px: int  # likewise
    pixel_aspect: float = 1.0  # width over height of a stored pixel
    colors: str = ""  # "PQ", "HLG" or "wide gamut" where the colours are converted to BT.709


@dataclass(frozen=True, kw_only=True)
class VideoTrack:
    """The video of an input on the 25 fps timeline."""

    frames: int  # length of the timeline; from decoded_frames on nothing could be decoded
    pts: npt.NDArray[np.int64]  # (decoded_frames,) timestamp of the packet of the source frame at each index
    #: Index -> how many frames of the source have the same timestamp and come before the one there; else none.
    copies: Mapping[int, int] = field(default_factory=dict)
    gaps: tuple[Span, ...] = ()  # index ranges that are far from any source frame; in order, apart
    damaged: tuple[Span, ...] = ()  # pictures that cannot be trusted; in order, apart
    joins: tuple[int, ...] = ()  # indices at which another recording begins: the clock of the file starts again
    recordings: int = 1  # that the file was joined from, some of them perhaps without pictures
    unread_bytes: int = 0  # at the end of the file, in which FFmpeg finds no packet
    repaired_times: int = 0  # timestamps that contradicted their neighbours on both sides
    key_indices: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # that begin a key frame
    is_seekable: bool = True  # the timestamps tell where in the file a frame is
    pictures: tuple[PictureRun, ...] = ()  # in order; more than one where the size changes in mid-stream
    deinterlaced: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))  # (decoded_frames,)
    is_range_longer: bool = False  # the input is a range of a file, and the file ends before the range does
    #: (source_frames,) when each frame of the source is presented, in seconds after frame 0: those that no index shows
    #: too, in the order of presentation. Frames that do not decode, or lie before the input's range, have no entry.
    source_times_s: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    #: (decoded_frames,) entry of `source_times_s` that is shown at each index
    source_entries: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    telecined: bool = False  # film of 24 frames a second whose fields were repeated

    @property
    def decoded_frames(self) -> int:
        """The number of indices that have a frame."""
        return len(self.pts)

    def picture_at(self, index: int) -> PictureRun:
        """Return the stretch of one picture size that holds the index."""
        return self.pictures[max(0, bisect_right(self.pictures, index, key=lambda run: run.start_frame) - 1)]


@dataclass(frozen=True, kw_only=True)
class AudioTrack:
    """The sound of an input as 16 kHz mono on the timeline of its video."""

    samples: Samples  # (frames * SAMPLES_PER_FRAME,), zero where the input has no sound
    covered: tuple[Span, ...] = field(default=())  # sample ranges with sound, in order and apart
    stream: AudioStreamChoice | None = None  # the sound track that was read; None where the samples are made up
    one_channel_s: float = 0.0  # seconds that one channel stands for, because left and right cancel in their sum

    def missing_frames(self, span: Span) -> float:
        """Return how much of `span` has no sound in the input, in frames."""
        # `covered` counts samples, although Span names its ends after frames.
        samples = Span(span.start_frame * SAMPLES_PER_FRAME, span.stop_frame * SAMPLES_PER_FRAME)
        return (samples.frames - overlap_frames(self.covered, samples)) / SAMPLES_PER_FRAME

    def cut(self, span: Span, shift_frames: int = 0) -> Samples:
        """Return the samples of `span`, exactly SAMPLES_PER_FRAME for each frame, with zeros outside the track.

        The sound is moved later by `shift_frames`, earlier where that is negative.
        """
        start = (span.start_frame - shift_frames) * SAMPLES_PER_FRAME
        stop = start + span.frames * SAMPLES_PER_FRAME
        inside = self.samples[max(0, start) : max(0, stop)]
        out = np.zeros(span.frames * SAMPLES_PER_FRAME, np.int16)
        offset = max(0, -start)
        out[offset : offset + len(inside)] = inside
        return out


def overlapping(spans: Sequence[Span], span: Span) -> Sequence[Span]:
    """Return those of `spans`, which are in order and apart, that share frames with `span`."""
    first = bisect_right(spans, span.start_frame, key=lambda other: other.stop_frame)
    return spans[first : bisect_left(spans, span.stop_frame, lo=first, key=lambda other: other.start_frame)]


def overlap_frames(spans: Sequence[Span], span: Span) -> int:
    """Return how many frames of `span` lie in `spans`, which are in order and apart."""
    return sum(
        max(0, min(span.stop_frame, other.stop_frame) - max(span.start_frame, other.start_frame))
        for other in overlapping(spans, span)
    )
