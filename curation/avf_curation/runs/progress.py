"""The progress of a run, in units, videos and spans."""

from dataclasses import dataclass, replace

import numpy as np
from avf_shards.format.run_folder import RunFolder

from avf_curation.pipeline.unit import UnitReport
from avf_curation.runs.frozen_plan import RunPlan


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The planned work of an attempt of a run, and the part of this work that is committed."""

    units: int  # planned
    units_done: int  # committed
    videos: int  # planned
    videos_done: int  # of the committed units, as are all counts below
    kept: int  # spans
    rejected: int  # spans
    failed: int  # spans
    frames: int  # of all spans, at 25 fps

    def after(self, report: UnitReport) -> "Progress":
        """Return the progress after one more committed unit."""
        return replace(
            self,
            units_done=self.units_done + 1,
            videos_done=self.videos_done + report.videos,
            kept=self.kept + report.kept,
            rejected=self.rejected + report.rejected,
            failed=self.failed + report.failed,
            frames=self.frames + report.frames,
        )


def read_progress(run: RunFolder, plan: RunPlan, finished: set[int]) -> Progress:
    """Return the progress of an attempt, from the manifests of its `finished` units."""
    counts = dict.fromkeys(("kept", "rejected", "failed", "frames"), 0)
    for unit in finished:
        manifest = run.unit_manifest(plan.attempt, unit)
        for name in counts:
            counts[name] += manifest.counts[name]
    videos_done = int(np.isin(plan.table["unit"].to_numpy(), list(finished)).sum()) if finished else 0
    return Progress(
        units=plan.units,
        units_done=len(finished),
        videos=plan.table.num_rows,
        videos_done=videos_done,
        **counts,
    )
