"""What one worker does, the same for every engine: load the tools once, then curate units, whole or in two halves."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from avf_shards.format.run_folder import RunFolder

from avf_curation.detectors.detector_set import BackendSelection, Detectors
from avf_curation.pipeline.unit import RunIdentity, UnitJob, UnitReport, curate_unit
from avf_curation.pipeline.video import ScreenedVideo, VideoOutcomes, refine_video, screen_video
from avf_curation.recipe import Recipe
from avf_curation.sources.types import Video

Curate = Callable[[Video, Path, Any, Any], VideoOutcomes]


@dataclass(frozen=True, kw_only=True)
class PipelineStages:
    """The two halves of the work on a video: screening, and refining what it left."""

    screen: Callable[[Video, Path, Any, Any], ScreenedVideo] = screen_video
    refine: Callable[[ScreenedVideo, Path, Any, Any], VideoOutcomes] = refine_video

    @classmethod
    def undivided(cls, curate: Curate) -> "PipelineStages":
        """Work that knows no halves: all of it is done in the second."""
        return cls(screen=_nothing_yet, refine=partial(_all_of_it, curate))


def _nothing_yet(video: Video, root: Path, settings: Any, tools: Any) -> ScreenedVideo:
    return ScreenedVideo(video=video, parts=())


def _all_of_it(curate: Curate, screened: ScreenedVideo, root: Path, settings: Any, tools: Any) -> VideoOutcomes:
    return curate(screened.video, root, settings, tools)


@dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """Everything a worker is made from; can be sent to another machine."""

    run: RunFolder
    recipe: Recipe
    choice: BackendSelection
    roots: dict[str, Path]
    identity: RunIdentity
    device: str = "cpu"
    halves: PipelineStages = PipelineStages()


@dataclass(frozen=True, kw_only=True)
class ScreenedUnit:
    """The videos of a unit after screening, and what that took."""

    videos: tuple[ScreenedVideo, ...]
    stage_seconds: dict[str, float]
    cpu_seconds: float


class UnitWorker:
    """Warm: models stay loaded between units."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.setup = setup
        self.tools = Detectors(setup.choice, setup.device)

    def run(self, job: UnitJob) -> UnitReport:
        """Curate and commit one unit. Raises InfrastructureError."""
        self.tools.clock.clear()
        return self.commit(job, self.curate)

    def screen(self, job: UnitJob) -> ScreenedUnit:
        """The first half of a unit, for a refiner elsewhere. Raises InfrastructureError."""
        self.tools.clock.clear()
        begin_s = time.process_time()
        videos = tuple(self._screened(video) for video in job.videos)
        return ScreenedUnit(
            videos=videos, stage_seconds=self.tools.clock.seconds, cpu_seconds=time.process_time() - begin_s
        )

    def refine(self, job: UnitJob, unit: ScreenedUnit) -> UnitReport:
        """The second half, and the commit. Raises InfrastructureError."""
        self.tools.clock.clear()
        halves = {(one.video.source, one.video.video_id): one for one in unit.videos}
        report = self.commit(job, lambda video: self._refined(halves[video.source, video.video_id]))
        cpu_seconds = unit.cpu_seconds + report.cpu_seconds
        return replace(
            report,
            stage_seconds=dict(Counter(unit.stage_seconds) + Counter(report.stage_seconds)),
            cpu_seconds=cpu_seconds,
        )

    def curate(self, video: Video) -> VideoOutcomes:
        """One video with the warm tools."""
        return self._refined(self._screened(video))

    def _screened(self, video: Video) -> ScreenedVideo:
        setup = self.setup
        root, settings = setup.roots[video.source], setup.recipe.of(video.source)
        return setup.halves.screen(video, root, settings, self.tools)

    def _refined(self, screened: ScreenedVideo) -> VideoOutcomes:
        setup, source = self.setup, screened.video.source
        return setup.halves.refine(screened, setup.roots[source], setup.recipe.of(source), self.tools)

    def commit(self, job: UnitJob, curate: Callable[[Video], VideoOutcomes]) -> UnitReport:
        """Curate a unit by `curate` and commit it, with what it took. Raises InfrastructureError."""
        begin_s = time.process_time()
        report = curate_unit(job, self.setup.run, self.setup.recipe, self.setup.identity, curate)
        cpu_seconds = round(time.process_time() - begin_s, 4)
        return replace(report, stage_seconds=self.tools.clock.seconds, cpu_seconds=cpu_seconds)
