"""The plan of a run as it is frozen in its folder: read by everything after the planning."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from avf_shards.format.content import Content
from avf_shards.format.file_digests import check_file
from avf_shards.format.run_folder import PLAN, SKIPPED_INPUTS, RunFolder
from avf_shards.schema.versions import read_parquet

from avf_curation.pipeline.unit_job import UnitJob
from avf_curation.runs.plan_table import SKIPPED_SCHEMA, read_plan_table, videos_of
from avf_curation.sources.types import SkippedInput, Video


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """A frozen plan of one attempt."""

    attempt: int  # number of the plan in its run
    table: pa.Table  # one row per input, sorted by unit
    skipped_inputs: tuple[SkippedInput, ...]  # what lies under the sources and is no input

    @property
    def units(self) -> int:
        """Return the number of units."""
        return int(self.table["unit"][-1].as_py()) + 1 if self.table.num_rows else 0

    @property
    def content(self) -> Content:
        """What the inputs are."""
        return "pictures" if "picture" in self.table.column_names else "clips"

    def count_videos(self, finished: Collection[int] = ()) -> Counter[str]:
        """Return source -> videos of the units that are not `finished`."""
        unfinished = np.isin(self.table["unit"].to_numpy(), sorted(finished), invert=True)
        counts = self.table["source"].filter(pa.array(unfinished)).value_counts()
        return Counter({count["values"]: count["counts"] for count in counts.to_pylist()})

    def jobs(self, finished: set[int]) -> Iterator[UnitJob]:
        """Yield the units that are not `finished`, in order. A job is built only when it is asked for."""
        offsets = np.searchsorted(self.table["unit"].to_numpy(), np.arange(self.units + 1))
        for unit in range(self.units):
            if unit not in finished:
                rows = self.table.slice(int(offsets[unit]), int(offsets[unit + 1] - offsets[unit]))
                yield UnitJob(unit=unit, attempt=self.attempt, videos=tuple(videos_of(rows)))


def read_plan(run: RunFolder, attempt: int) -> RunPlan:
    """Return the frozen plan of an attempt. Raises OSError, and UserError for a plan of a newer version."""
    folder = run.attempt_folder(attempt) / "plan"
    digests = run.plan_summary(attempt).file_sha256
    check_file(folder / PLAN, digests, "plan")
    table = read_plan_table(folder / PLAN)
    skipped_file = folder / SKIPPED_INPUTS  # the plan of a deletion has none
    if skipped_file.is_file():
        check_file(skipped_file, digests, "skipped inputs")
    rows = (
        read_parquet(skipped_file, "skipped inputs", schema=SKIPPED_SCHEMA).to_pylist()
        if skipped_file.is_file()
        else []
    )
    return RunPlan(attempt=attempt, table=table, skipped_inputs=tuple(SkippedInput(**row) for row in rows))


def planned_videos(run: RunFolder, video_ids: set[str]) -> dict[tuple[str, str], Video]:
    """Return (source, video id) -> the input as the newest plan that has it describes it, for these ids."""
    import pyarrow.compute as pc

    videos = {}
    ids = pa.array(sorted(video_ids), pa.string())
    for attempt in run.attempts():
        table = read_plan(run, attempt).table
        for video in videos_of(table.filter(pc.is_in(table["video_id"], value_set=ids))):
            videos[video.source, video.video_id] = video
    return videos
