"""The values that the pipeline passes from step to step: a screened video, and the outcomes of its spans."""

import json
from dataclasses import dataclass

from avf_shards.format.picture_record import PICTURE_SPAN
from avf_shards.schema.labels import Box4, Origin
from avf_shards.timeline import Span

from avf_curation.media.types import Bytes, VideoTrack
from avf_curation.pipeline.failures import FailureCause
from avf_curation.pipeline.source_clock import SourceClock
from avf_curation.sources.types import Video
from avf_curation.stages.candidate import Candidate


@dataclass(frozen=True, kw_only=True)
class EncodedClip:
    """A clip of a span that has passed every check that the span alone allows."""

    media: dict[str, bytes]  # file extension -> content
    window_px: float  # side of the square that was cropped, in pixels of the source
    size_px: int  # side of the clip
    shift_frames: int  # the audio was moved later by this many frames
    track: int = 0  # number of the face in its span, 0 = the largest
    crop_px: Box4 | None = None  # part of the source's picture that holds the square in every frame; None: not known


@dataclass(frozen=True, kw_only=True)
class EncodedPicture:
    """What is stored of a picture that has passed every check."""

    data: bytes  # a JPEG or PNG file
    extension: str  # jpg or png
    width_px: int  # of the stored picture
    height_px: int  # of the stored picture
    source_width_px: int  # of the owners' picture, upright
    source_height_px: int  # of the owners' picture, upright
    window_px: Box4 | None  # part of the owners' picture that is stored; None: the file is stored as it is
    face_px: Box4 | None  # the face in the owners' picture; None where none was looked for


@dataclass(frozen=True, kw_only=True)
class SpanOutcome:
    """The outcome of one span, before the spans of its group are looked at together.

    The span is failed if `failure` is set, else rejected if a check of `candidate` fails, else kept.
    """

    candidate: Candidate  # the span, its measurements and checks
    failure: FailureCause | None = None  # None where no stage failed
    clips: tuple[EncodedClip, ...] = ()  # of a kept span: one for each person
    picture: EncodedPicture | None = None  # of a kept picture
    overlay_frames: tuple[Bytes, ...] = ()  # (H, W) grey: two frames for the search of the group's watermark


@dataclass(frozen=True, kw_only=True)
class VideoOutcomes:
    """All outcomes of one input. Their spans tile its timeline."""

    video: Video  # the input, as planned
    outcomes: tuple[SpanOutcome, ...]  # one for each span
    sha256: str | None = None  # of the input; None where it could not be read
    file_sha256: str | None = None  # of the files that the input is a range of; None: it is whole files
    origin: Origin | None = None  # where the owners cut the input from
    source_clock: SourceClock | None = None  # numbers and times of its frames, where it has labels of frames


@dataclass(frozen=True, kw_only=True)
class ScreenedVideo:
    """One input after screening. Contains no frames, so that it can be sent to another machine for refining."""

    video: Video  # the input, as planned
    parts: tuple[SpanOutcome | Candidate, ...]  # in order; a Candidate is still to be refined
    sha256: str | None = None  # of the input, in hex; None where it could not be read
    file_sha256: str | None = None  # of the files that the input is a range of; None: it is whole files
    video_track: VideoTrack | None = None  # the timeline, where a part is to be refined
    start_s: float = 0.0  # timestamp of frame 0
    sound_stat: tuple[int, int] | None = None  # size and time of the second file before it was read first
    uses_own_audio: bool = False  # the audio is taken from the file itself, not from the second file


def unread_span(video: Video) -> Span:
    """Return the span of an input that was not decoded: no frame of a video, and the one frame that a picture is."""
    return Span(0, 0) if video.picture is None else PICTURE_SPAN


def fail_video(video: Video, failure: FailureCause) -> SpanOutcome:
    """Return the only outcome of an input that cannot be used at all."""
    return SpanOutcome(candidate=Candidate(span=unread_span(video)), failure=failure)


def measurements_json(candidate: Candidate) -> str:
    """Return the measurements of a candidate as the JSON that the ledger stores."""
    return json.dumps(candidate.measurements, sort_keys=True)
