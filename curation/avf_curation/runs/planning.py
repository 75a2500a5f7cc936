"""Plan a run, or a retry of its failed videos: list the inputs and freeze them in the run's folder before any work."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.errors import UserError
from avf_shards.format.denylist import NOTHING_DENIED, Denylist
from avf_shards.format.file_digests import digest
from avf_shards.format.plan_summary import PlanSummary, digest_inputs
from avf_shards.format.run_folder import PLAN, PLAN_SUMMARY, SKIPPED_INPUTS, UNREADABLE, RunFolder
from avf_shards.stores.opening import lies_within
from avf_shards.system import durable_io
from avf_shards.system.mirror_registry import name_addresses
from avf_shards.text import count_noun

from avf_curation.detectors.detector_set import BackendSelection
from avf_curation.pipeline.input_check import size_and_time, with_stat
from avf_curation.recipe import Recipe
from avf_curation.runs.frozen_plan import RunPlan, planned_videos, read_plan
from avf_curation.runs.identity import freeze_identity, remember_roots, run_identity
from avf_curation.runs.plan import make_plan
from avf_curation.runs.plan_labels import refuse_other_labels
from avf_curation.runs.plan_table import encode_plan, encode_skipped_inputs
from avf_curation.sources.listing import OUTSIDE
from avf_curation.sources.media_names import is_image_name
from avf_curation.sources.registry import list_inputs
from avf_curation.sources.types import SkippedInput, Video

log = logging.getLogger(__name__)
_SHOWN_UNREADABLE = 10
_SHOWN_LINKS = 3
_SHOWN_ROWS = 3
_PICTURES_HINT = "; images are the input of --source pictures=DIR, or of --recipe pictures"


@dataclass(frozen=True, kw_only=True)
class InputChoice:
    """Which of the inputs of its sources a run takes."""

    allow_unreadable: bool = False  # plan without folders that cannot be read; they are counted as skipped inputs
    follow_symlinks: bool = False  # also take what links name outside the sources' folders
    deny: Denylist = NOTHING_DENIED  # is added to the denylist of the run: of what it names, nothing is kept
    select: Callable[[list[Video]], list[Video]] = lambda videos: videos  # of all that are there, as an estimate does


def plan_run(
    recipe: Recipe,
    backends: BackendSelection,
    sources: Mapping[str, Path],
    out: Path,
    *,
    device: str = "cpu",
    choice: InputChoice = InputChoice(),
) -> RunPlan:
    """Freeze identity and plan of a run in `out`, or return the plan that is frozen there. Raises UserError."""
    for name, root in sources.items():
        if lies_within(out, root):
            raise UserError(
                f"--out {out}: lies inside source {name} ({root}), and inputs are never written to; "
                "name a folder outside of it"
            )
    run = RunFolder(out)
    identity = run_identity(recipe, backends, list(sources), device)
    if run.root.exists():
        freeze_identity(run, identity)  # first, before the sources are read: the folder may hold another run
        run.deny(choice.deny)
    roots = {name: root.resolve() for name, root in sources.items()}
    if not run.attempts():
        skipped: list[SkippedInput] = []
        videos: list[Video] = []
        for name, root in sorted(roots.items()):
            config = recipe.settings_for(name).plan
            videos += list_inputs(
                name, root, config, skipped, content=recipe.content, follow_symlinks=choice.follow_symlinks
            )
        if not choice.allow_unreadable:
            _refuse_unreadable(skipped)
        _warn_about_links(skipped)
        _warn_about_rows(skipped)
        table = make_plan(choice.select(videos), {name: recipe.settings_for(name).plan for name in roots})
        freeze_identity(run, identity)  # only now: a source that cannot be listed leaves no folder behind
        run.deny(choice.deny)  # before the plan: no start continues a run that lacks it
        _publish_plan(run, 0, table, skipped)
    else:
        refuse_other_labels(run, recipe, roots, follow_symlinks=choice.follow_symlinks)
    _warn_about_empty_sources(roots, read_plan(run, run.attempts()[0]))
    remember_roots(run, roots)
    return read_plan(run, run.attempts()[-1])


def _refuse_unreadable(skipped: Sequence[SkippedInput]) -> None:
    """Raise UserError where folders cannot be read: the plan would lack their videos for good."""
    unreadable = [f"{item.source}: {item.path}: {item.reason}" for item in skipped if item.kind == UNREADABLE]
    if unreadable:
        shown = "\n  ".join(unreadable[:_SHOWN_UNREADABLE])
        more = len(unreadable) - _SHOWN_UNREADABLE
        raise UserError(
            f"no plan was made: it would lack what cannot be read, {count_noun(len(unreadable), 'path')}:"
            f"\n  {shown}{f' and {more} more' if more > 0 else ''}\n"
            "mend the disk or the permissions, or leave them out with --allow-unreadable"
        )


def _warn_about_links(skipped: Sequence[SkippedInput]) -> None:
    """Say how many links lead out of the sources' folders, and name the first: the plan lacks what they name."""
    links = [f"{item.source}: {item.path}" for item in skipped if item.kind == OUTSIDE]
    if links:
        log.warning(
            "not followed, because what they name lies outside the source's folder: %s, such as %s; --follow-symlinks "
            "follows them, and the skipped inputs of the plan name all",
            count_noun(len(links), "link"),
            ", ".join(links[:_SHOWN_LINKS]),
        )


def _warn_about_rows(skipped: Sequence[SkippedInput]) -> None:
    """Say how many rows or cells of the sources' tables cannot be used, and name the first."""
    rows = [f"{item.source}: {item.path}: {item.reason}" for item in skipped if item.kind == "bad_row"]
    if rows:
        log.warning(
            "not used, because they cannot be right: %s of tables, such as %s; the skipped inputs of the plan name all",
            "1 row or cell" if len(rows) == 1 else f"{len(rows):,} rows or cells",
            "; ".join(rows[:_SHOWN_ROWS]),
        )


def _warn_about_empty_sources(roots: Mapping[str, Path], plan: RunPlan) -> None:
    """Name the sources without an input: a mistyped folder gives one, and the plan stays as it is."""
    for name in sorted(roots.keys() - set(plan.table["source"].unique().to_pylist())):
        others = [item for item in plan.skipped_inputs if item.source == name]
        log.warning(
            "source %s: no input in %s%s; the plan is frozen: for files that come later, take a new --out%s",
            name,
            roots[name],
            f" ({count_noun(len(others), 'path')} skipped)" if others else "",
            _PICTURES_HINT if any(is_image_name(item.path) for item in others) else "",
        )


def plan_retry(run: RunFolder, recipe: Recipe, roots: Mapping[str, Path]) -> RunPlan | None:
    """Plan a new attempt of the videos that failed, with size and time as they are now.

    Returns the plan of the newest attempt if that is not finished, and None if no video failed.
    """
    newest = run.attempts()[-1]
    if not (run.attempt_folder(newest) / "ledger").is_dir():
        return read_plan(run, newest)
    ledger = run.ledger()
    failed = ledger.filter(pc.equal(ledger["status"], "failed"))
    failed_keys = set(zip(failed["source"].to_pylist(), failed["video_id"].to_pylist(), strict=True))
    retried = {
        key: _with_current_stat(video, roots[video.source])
        for key, video in planned_videos(run, set(failed["video_id"].to_pylist())).items()
        if key in failed_keys
    }
    if not retried:
        log.info("no video of %s failed: nothing is retried", run.root)
        return None
    log.info("retrying %d failed videos as attempt %d", len(retried), newest + 1)
    config = {name: recipe.settings_for(name).plan for name in roots}
    _publish_plan(run, newest + 1, make_plan(retried.values(), config), [])
    return read_plan(run, newest + 1)


def _with_current_stat(video: Video, root: Path) -> Video:
    try:
        return with_stat(video, size_and_time(root / video.path))
    except OSError:  # the retry will find out, and fail the video again
        return video


def _publish_plan(run: RunFolder, attempt: int, table: pa.Table, skipped_inputs: Sequence[SkippedInput]) -> None:
    columns = (table[name].to_pylist() for name in ("source", "video_id", "size_bytes"))
    files = {PLAN: encode_plan(table), SKIPPED_INPUTS: encode_skipped_inputs(skipped_inputs)}
    summary = PlanSummary(
        name="/".join(name_addresses(str(run.root.resolve())).split("/")[-2:]),
        planned=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        videos=table.num_rows,
        skipped_inputs=len(skipped_inputs),
        inputs_sha256=digest_inputs(zip(*columns, strict=True)),
        file_sha256={name: digest(data) for name, data in files.items()},
    )
    files[PLAN_SUMMARY] = summary.to_json()
    try:
        run.publish(f"plan-{attempt}", run.attempt_folder(attempt) / "plan", files)
        log.info(
            "froze the plan of %s: %d videos; %d other files are listed as skipped",
            run.root,
            table.num_rows,
            len(skipped_inputs),
        )
    except durable_io.AlreadyExistsError:
        if attempt:
            raise UserError(
                f"{run.root}: another process began attempt {attempt} meanwhile; start the command again"
            ) from None
        log.info("another process froze the plan of %s first; its plan is used", run.root)
