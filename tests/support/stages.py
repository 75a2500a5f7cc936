"""Pipeline stages that measure nothing, and small helpers for tests of the real stages."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from avf_curation.execution.worker import PipelineStages
from avf_curation.pipeline.outcomes import ScreenedVideo, VideoOutcomes
from avf_curation.sources.types import Video
from avf_curation.stages.faces import Box
from avf_shards.schema.ledger import Check

CurateVideo = Callable[[Video, Path, Any, Any], VideoOutcomes]


def failed_reasons(checks: Iterable[Check]) -> list[str]:
    """Return the reasons of the checks that failed; a check without a score does not fail."""
    return [check.reason for check in checks if check.passed is False]


def make_box(x: float = 100, side: float = 100, y: float = 100) -> Box:
    """Return a square face box, in pixels."""
    return Box(left=x, top=y, right=x + side, bottom=y + side)


def single_step(curate_video: CurateVideo) -> PipelineStages:
    """Return stages that screen nothing and refine with `curate_video`; they can be pickled if it can.

    Their worker does not test itself: it would take longer than a unit of these.
    """
    return PipelineStages(screen=_screen_nothing, refine=partial(_refine_all, curate_video), test=_test_nothing)


def _test_nothing(detectors: Any, settings: Any) -> None:
    return None


def _screen_nothing(video: Video, root: Path, settings: Any, detectors: Any) -> ScreenedVideo:
    return ScreenedVideo(video=video, parts=())


def _refine_all(
    curate_video: CurateVideo, screened: ScreenedVideo, root: Path, settings: Any, detectors: Any
) -> VideoOutcomes:
    return curate_video(screened.video, root, settings, detectors)
