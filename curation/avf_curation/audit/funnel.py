"""The audit of a ledger: kept, rejected and failed frames per source, stage and reason, counted exactly."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.format.content import Content
from avf_shards.format.plan_summary import PlanSummary
from avf_shards.format.run_folder import RunFolder
from avf_shards.format.run_identity import RunIdentity
from avf_shards.schema.ledger import SCHEMA, TAKEDOWN
from avf_shards.text import describe_unreadable

from avf_curation.audit.undecided import GateCount, count_gates
from avf_curation.recipe import read_run_recipe, stages_of_run
from avf_curation.stages.checks import STAGES

_COLUMNS = (
    *("source", "video_id", "start_frame", "stop_frame", "status", "stage", "reason"),
    *("error", "input_sha256", "clips"),
)
_SCHEMA = pa.schema([SCHEMA.field(name) for name in _COLUMNS])


@dataclass(frozen=True, kw_only=True)
class SourceSummary:
    """Counts of one source."""

    videos: int  # inputs
    clips: int  # kept clips
    input_frames: int  # of all videos, at 25 fps
    kept_frames: int  # of kept spans
    rejected_frames: int  # of rejected spans
    failed_frames: int  # of spans that an error stopped
    reasons: dict[str, dict[str, int]]  # of rejections: "stage/reason" -> spans and frames
    errors: dict[str, dict[str, int]]  # of failures: "stage/error" -> spans and frames


@dataclass(frozen=True, kw_only=True)
class LedgerSummary:
    """Counts of a run, per source."""

    sources: dict[str, SourceSummary]  # by name
    backends: dict[str, str]  # stage -> backend
    fingerprint: str  # of the run's settings
    finished: bool  # False: counts of what is committed so far
    duplicate_inputs: int  # inputs with the same bytes as an earlier input of another name
    #: Names of videos whose spans leave a gap or overlap, at most twenty: some of their frames have no verdict or two.
    accounting_errors: tuple[str, ...]
    content: Content = "clips"  # what the run is of
    stages: tuple[str, ...] = STAGES  # of the run, in their order
    unreadable: int = 0  # folders or files that could not be read when the run was planned; it lacks their videos
    plan: PlanSummary | None = None  # name, date and inputs of the run; None for a ledger without a run
    gates: dict[str, dict[str, str]] = field(default_factory=dict)  # source -> stage -> "measure" or "skip"
    #: source -> stage that decides -> kept spans that passed it, and those that it could not measure
    gate_counts: dict[str, dict[str, GateCount]] = field(default_factory=dict)

    @property
    def totals(self) -> dict[str, int]:
        """Sums over the sources."""
        names = ("videos", "clips", "input_frames", "kept_frames", "rejected_frames", "failed_frames")
        return {name: sum(getattr(source, name) for source in self.sources.values()) for name in names}

    @property
    def unreadable_sentence(self) -> str:
        """Return how many folders or files could not be read, in words; the empty text where there are none."""
        return describe_unreadable(self.unreadable)

    def as_json(self) -> dict[str, Any]:
        """Return the values that --json prints."""
        return {
            "totals": self.totals | {"duplicate_inputs": self.duplicate_inputs},
            "sources": {name: vars(source) for name, source in self.sources.items()},
            "backends": self.backends,
            "fingerprint": self.fingerprint,
            "content": self.content,
            "run": None if self.plan is None else asdict(self.plan),
            "finished": self.finished,
            "unreadable": self.unreadable,
            "accounting_errors": list(self.accounting_errors),
            "gates": self.gates,
            "gate_counts": {
                name: {stage: count.as_json() for stage, count in counts.items()}
                for name, counts in self.gate_counts.items()
            },
        }


def summarize_run(run: RunFolder) -> LedgerSummary:
    """Summarize the committed part of a run's ledger. Raises FaultError for a damaged plan or ledger."""
    identity = run.identity()
    for attempt in run.attempts():
        run.check_plan(attempt)
    newest = max(run.attempts(), default=0)
    finished = (run.attempt_folder(newest) / "ledger").is_dir()
    batches = list(run.ledger_batches(_COLUMNS))
    table = pa.Table.from_batches(batches, _SCHEMA)
    summary = _summarize(table, identity, finished)
    return replace(
        summary,
        unreadable=run.count_unreadable(),
        plan=run.plan_summary() if run.attempts() else None,
        gate_counts=count_gates(run.ledger_batches(("source", "status", "checks"))),
    )


def summarize_ledger(table: pa.Table, identity: RunIdentity, finished: bool = True) -> LedgerSummary:
    """Summarize a ledger; its rows must be in ledger order."""
    return replace(_summarize(table, identity, finished), gate_counts=count_gates(table.combine_chunks().to_batches()))


def _summarize(table: pa.Table, identity: RunIdentity, finished: bool) -> LedgerSummary:
    """Summarize the columns of a ledger but its checks."""
    frames = pc.subtract(table["stop_frame"], table["start_frame"])
    clips = pc.list_value_length(table["clips"])
    table = table.append_column("frames", frames).append_column("clip_count", clips)
    per_status = table.group_by(["source", "status"]).aggregate([("frames", "sum"), ("clip_count", "sum")]).to_pylist()
    names = sorted({row["source"] for row in per_status} | set(identity.sources))
    new_video = _starts_video(table)
    videos = table.filter(new_video).group_by("source").aggregate([("video_id", "count")]).to_pylist()
    video_count = {row["source"]: row["video_id_count"] for row in videos}
    rejected = _count_by_reason(table, "rejected", "reason")
    failed = _count_by_reason(table, "failed", "error")
    sources = {}
    for name in names:
        statuses = {row["status"]: row for row in per_status if row["source"] == name}
        sums = {
            status: int(statuses.get(status, {}).get("frames_sum") or 0) for status in ("kept", "rejected", "failed")
        }
        sources[name] = SourceSummary(
            videos=video_count.get(name, 0),
            clips=int(statuses.get("kept", {}).get("clip_count_sum") or 0),
            input_frames=sum(sums.values()),
            kept_frames=sums["kept"],
            rejected_frames=sums["rejected"],
            failed_frames=sums["failed"],
            reasons=rejected.get(name, {}),
            errors=failed.get(name, {}),
        )
    duplicates = _count_duplicate_inputs(table, new_video)
    accounting_errors = tuple(_find_accounting_errors(table, new_video.to_numpy(zero_copy_only=False)))
    gates = _non_deciding_gates(identity, names)
    return LedgerSummary(
        sources=sources,
        backends=identity.backends,
        fingerprint=identity.fingerprint,
        finished=finished,
        duplicate_inputs=duplicates,
        accounting_errors=accounting_errors,
        gates=gates,
        content=identity.content,
        stages=stages_of_run(identity),
    )


def _non_deciding_gates(identity: RunIdentity, sources: list[str]) -> dict[str, dict[str, str]]:
    """Return source -> stage -> gate, for the stages that the recipe only lets measure or skip."""
    recipe, stages = read_run_recipe(identity), stages_of_run(identity)
    gates = {name: recipe.settings_for(name).gates.non_deciding for name in sources}
    own = {name: {stage: gate for stage, gate in each.items() if stage in stages} for name, each in gates.items()}
    return {name: each for name, each in own.items() if each}


def _starts_video(table: pa.Table) -> pa.BooleanArray:
    """Return whether each row is the first of its video; the table is in ledger order."""
    if not table.num_rows:
        return pa.array([], pa.bool_())
    columns = [table[name].combine_chunks() for name in ("source", "video_id")]
    changed = pc.or_(*(pc.not_equal(column[1:], column[:-1]) for column in columns))
    return pa.concat_arrays([pa.array([True]), changed])


def _find_accounting_errors(table: pa.Table, new_video: np.ndarray) -> list[str]:
    """Return the videos whose spans leave a gap or overlap, at most twenty."""
    if not table.num_rows:
        return []
    start, stop = table["start_frame"].to_numpy(), table["stop_frame"].to_numpy()
    expected = np.where(new_video, 0, np.roll(stop, 1))
    empty_inside = (stop == start) & ~(new_video & np.append(new_video[1:], True))
    broken = np.nonzero((start != expected) | empty_inside)[0][:20]
    return [f"{table['source'][int(i)]}: {table['video_id'][int(i)]}" for i in broken]


def _count_by_reason(table: pa.Table, status: str, column: str) -> dict[str, dict[str, dict[str, int]]]:
    """Return source -> "stage/name" -> spans and frames, most frames first."""
    rows = table.filter(pc.equal(table["status"], status))
    groups = rows.group_by(["source", "stage", column]).aggregate([("frames", "sum"), ("frames", "count")])
    result: dict[str, dict[str, dict[str, int]]] = {}
    for row in sorted(groups.to_pylist(), key=lambda r: (-r["frames_sum"], r["stage"], r[column])):
        entry = {"spans": row["frames_count"], "frames": row["frames_sum"]}
        result.setdefault(row["source"], {})[f"{row['stage']}/{row[column]}"] = entry
    return result


def _count_duplicate_inputs(table: pa.Table, new_video: pa.BooleanArray) -> int:
    """Return the number of inputs with the bytes of an earlier input; packing takes the clips of such inputs once."""
    digests = table.filter(new_video)["input_sha256"].drop_null()
    return len(digests) - int(pc.count_distinct(digests).as_py()) if len(digests) else 0


def funnel_steps(source: SourceSummary, stages: tuple[str, ...] = STAGES) -> list[tuple[str, int]]:
    """Return (stage, frames that remain after the stage), from the input to the kept frames.

    stages: of the run, in their order.
    """
    alive = source.input_frames
    steps = [("input", alive)]
    failed_to_open = sum(entry["frames"] for name, entry in source.errors.items() if name.split("/")[0] not in stages)
    alive -= failed_to_open
    for stage in stages:
        for group in (source.reasons, source.errors):
            alive -= sum(entry["frames"] for name, entry in group.items() if name.startswith(f"{stage}/"))
        steps.append((stage, alive))
    taken_down = sum(entry["frames"] for name, entry in source.reasons.items() if name.split("/")[0] == TAKEDOWN)
    return [*steps, (TAKEDOWN, alive - taken_down)] if taken_down else steps
