"""What a worker is given to do, and what it reports of a unit that it committed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from avf_curation.sources.types import Video


@dataclass(frozen=True, kw_only=True)
class UnitJob:
    """A unit of work for a worker: the videos to curate."""

    unit: int  # number in the plan, from 0
    attempt: int  # number of the plan
    videos: tuple[Video, ...]  # the inputs of the unit
    #: Kind of failure that is not the file's -> videos that failed so in earlier tries. The unit is committed with as
    #: many such failures, and put back with more of them.
    known_faults: Mapping[str, int] = field(default_factory=dict)
    machine_faults: int = 0  # tries that a read, a write or a library ended; all inputs are then read first
    fails_unreadable: bool = False  # a video whose file still cannot be read fails
    runs_alone: bool = False  # no other unit runs meanwhile, and the video that its worker is at is noted at once
    #: Ids of videos that took their machine away, even alone: they fail without a further try.
    fatal_videos: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class UnitReport:
    """The counts and costs of a unit, for the progress line and the log. Its spans are decided if `is_committed`."""

    unit: int  # number in the plan, from 0
    videos: int  # count of inputs
    kept: int  # spans
    rejected: int  # spans
    failed: int  # spans
    frames: int  # of all inputs of the unit
    stage_seconds: dict[str, float] = field(default_factory=dict)  # stage -> wall-clock seconds
    cpu_seconds: float = 0.0  # of the worker's process
    source: str = ""  # of all its videos
    #: Kind of failure that is not the file's -> videos. Of a unit that is not committed: the most of any try.
    faults: dict[str, int] = field(default_factory=dict)
    fault_example: str = ""  # one such video, with its stage, kind and message
    is_committed: bool = True  # False: videos failed for reasons that are not the file's, so nothing is decided yet
    video_seconds: dict[str, float] = field(default_factory=dict)  # "source/video id" -> wall-clock seconds
