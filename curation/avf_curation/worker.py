"""What one worker does, the same for every engine: load the tools once, then curate units."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from avf_shards.run_folder import RunFolder

from avf_curation.inputs import Video
from avf_curation.recipe import Recipe
from avf_curation.tools import Choice, Tools
from avf_curation.unit import Identity, UnitJob, UnitReport, curate_unit
from avf_curation.video import VideoResult, curate_video

Curate = Callable[[Video, Path, Any, Any], VideoResult]


@dataclass(frozen=True)
class WorkerSetup:
    """Everything a worker is made from; can be sent to another machine. `curate` stands for curate_video in tests."""

    run: RunFolder
    recipe: Recipe
    choice: Choice
    roots: dict[str, Path]
    identity: Identity
    device: str = "cpu"
    curate: Curate = curate_video


class UnitWorker:
    """Warm: models stay loaded between units."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.setup = setup
        self.tools = Tools(setup.choice, setup.device)

    def run(self, job: UnitJob) -> UnitReport:
        """Curate and commit one unit. Raises InfrastructureError."""
        return self._commit(job, self.curate)

    def run_isolated(self, job: UnitJob) -> UnitReport:
        """The same, but each video in a child of its own, so that one that kills its process ends as `failed`."""
        from avf_curation.isolate import curate_alone

        return self._commit(job, lambda video: curate_alone(self.setup, video))

    def curate(self, video: Video) -> VideoResult:
        """One video with the warm tools."""
        setup = self.setup
        return setup.curate(video, setup.roots[video.source], setup.recipe.of(video.source), self.tools)

    def _commit(self, job: UnitJob, curate: Callable[[Video], VideoResult]) -> UnitReport:
        self.tools.clock.clear()
        report = curate_unit(job, self.setup.run, self.setup.recipe, self.setup.identity, curate)
        return replace(report, stage_seconds=self.tools.clock.seconds)
