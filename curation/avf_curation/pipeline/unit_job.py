"""What a worker is given to do, and what it reports of a unit that it committed."""

from dataclasses import dataclass, field

from avf_curation.sources.types import Video


@dataclass(frozen=True, kw_only=True)
class UnitJob:
    """A unit of work for a worker: the videos to curate."""

    unit: int  # number in the plan, from 0
    attempt: int  # number of the plan
    videos: tuple[Video, ...]  # the inputs of the unit


@dataclass(frozen=True, kw_only=True)
class UnitReport:
    """The counts and costs of a committed unit, for the progress line and the log."""

    unit: int  # number in the plan, from 0
    videos: int  # count of inputs
    kept: int  # spans
    rejected: int  # spans
    failed: int  # spans
    frames: int  # of all inputs of the unit
    stage_seconds: dict[str, float] = field(default_factory=dict)  # stage -> wall-clock seconds
    cpu_seconds: float = 0.0  # of the worker's process
    video_seconds: dict[str, float] = field(default_factory=dict)  # "source/video id" -> wall-clock seconds
