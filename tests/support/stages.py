"""Pipeline stages that measure nothing: a single function makes all outcomes of a video."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from avf_curation.execution.worker import PipelineStages
from avf_curation.pipeline.outcomes import ScreenedVideo, VideoOutcomes
from avf_curation.sources.types import Video

CurateVideo = Callable[[Video, Path, Any, Any], VideoOutcomes]


def single_step(curate_video: CurateVideo) -> PipelineStages:
    """Return stages that screen nothing and refine with `curate_video`; they can be pickled if it can."""
    return PipelineStages(screen=_screen_nothing, refine=partial(_refine_all, curate_video))


def _screen_nothing(video: Video, root: Path, settings: Any, detectors: Any) -> ScreenedVideo:
    return ScreenedVideo(video=video, parts=())


def _refine_all(
    curate_video: CurateVideo, screened: ScreenedVideo, root: Path, settings: Any, detectors: Any
) -> VideoOutcomes:
    return curate_video(screened.video, root, settings, detectors)
