"""The labels in a frozen plan beside those that its sources have now: a table that is corrected later is told."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.errors import UserError
from avf_shards.format.content import input_noun
from avf_shards.format.run_folder import RunFolder
from avf_shards.text import count_noun

from avf_curation.recipe import Recipe
from avf_curation.runs.frozen_plan import RunPlan, read_plan
from avf_curation.runs.plan_table import videos_of
from avf_curation.sources.labelled_folder import has_labels
from avf_curation.sources.registry import list_inputs
from avf_curation.sources.types import SkippedInput, Video

_SHOWN_CHARACTERS = 40  # of a label


@dataclass(frozen=True, kw_only=True)
class _Change:
    """A label of an input that is another one in the source by now."""

    source: str
    video_id: str
    name: str  # of the label
    before: str
    now: str

    def describe(self) -> str:
        before, now = (repr(text[:_SHOWN_CHARACTERS]) if text else "none" for text in (self.before, self.now))
        return f"{self.video_id} ({self.name} {before}, now {now})"


def refuse_other_labels(
    run: RunFolder, recipe: Recipe, roots: Mapping[str, Path], *, follow_symlinks: bool = False
) -> None:
    """Raise UserError where labels, persons or sets in the sources are not those of the run's plan; else do nothing.

    Sources without labels, sets or owners' faces are not listed again, and files that came or went since the plan
    are not looked at.

    Args:
        run: with a plan.
        recipe: of the run.
        roots: name of each source -> its folder.
        follow_symlinks: as of `list_inputs`.
    """
    plan = read_plan(run, run.attempts()[0])
    changes = [
        change
        for name, root in sorted(roots.items())
        for change in _changes_of(plan, recipe, name, root, follow_symlinks=follow_symlinks)
    ]
    if changes:
        inputs = {(change.source, change.video_id) for change in changes}
        raise UserError(
            f"{run.root}: the labels, persons or sets of {count_noun(len(inputs), input_noun(plan.content))} of "
            f"{changes[0].source} are not those of its plan, as of {changes[0].describe()}, and a plan is frozen: put "
            "the table back to go on with it, or take a new --out for the labels as they are now"
        )


def _changes_of(plan: RunPlan, recipe: Recipe, source: str, root: Path, *, follow_symlinks: bool) -> Iterator[_Change]:
    rows = plan.table.filter(pc.equal(plan.table["source"].cast("string"), source))
    if not _has_facts(rows) and not has_labels(root):
        return
    before = {video.video_id: _facts_of(video) for video in videos_of(rows)}
    skipped: list[SkippedInput] = []
    config = recipe.settings_for(source).plan
    for video in list_inputs(source, root, config, skipped, content=recipe.content, follow_symlinks=follow_symlinks):
        known, facts = before.get(video.video_id), _facts_of(video)
        if known is not None and known != facts:
            name = next(name for name in sorted({*known, *facts}) if known.get(name) != facts.get(name))
            yield _Change(
                source=source,
                video_id=video.video_id,
                name=name,
                before=known.get(name, ""),
                now=facts.get(name, ""),
            )


def _has_facts(rows: pa.Table) -> bool:
    """Return whether owners say more of the inputs than the names of folders do: labels, sets or faces."""
    if rows["labels"].null_count < rows.num_rows:
        return True
    if "picture" not in rows.column_names:
        return False
    # By the texts alone: a corpus of faces may have forty million rows.
    known = [pc.invert(pc.match_substring(rows["picture"], f'"{name}": null')) for name in ("box_px", "subset")]
    return any(pc.any(column).as_py() for column in known)


def _facts_of(video: Video) -> dict[str, str]:
    """Return what a table says of an input, by name; what it does not say is missing."""
    labels: dict[str, Any] = {} if video.labels is None else video.labels.to_json()
    facts = {str(name): str(value) for name, value in dict(labels.pop("values", {})).items()}
    more = {**labels, "person": video.speaker, "language": video.language}
    if video.picture is not None:
        more |= {"set": video.picture.subset, "face": video.picture.box_px}
    return facts | {
        name: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for name, value in more.items()
        if value
    }
