"""The review sheet: a folder with one HTML page and its clips, which a browser opens without a network."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avf_shards.errors import FaultError, UserError
from avf_shards.format.index import ShardReader
from avf_shards.format.run_folder import PART, RunFolder
from avf_shards.system import durable_io

from avf_curation.audit.review import KEPT, Review, ReviewItem, span_name
from avf_curation.media import preview
from avf_curation.media.types import MediaError, TimeRange
from avf_curation.recipe import make_recipe
from avf_curation.reports.html import render_page
from avf_curation.runs.frozen_plan import planned_videos
from avf_curation.sources.types import Video
from avf_curation.stages.checks import STAGES

PAGE = "review.html"


def write_review_sheet(
    run: RunFolder,
    review: Review,
    out: Path,
    roots: dict[str, Path],
    on_item: Callable[[int], None] = lambda n: None,
) -> Path:
    """Write the page and its clips into the new or empty folder `out`; return the path of the page.

    Raises:
        UserError: `out` is a file, or holds files.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: not a new or empty folder")
    durable_io.make_folder(out / "clips")
    planned = planned_videos(run, {item.decision.video_id for item in review.items})
    media = make_recipe(run.identity().settings).defaults.media
    entries = []
    for number, item in enumerate(review.items):
        decision = item.decision
        entry: dict[str, Any] = {
            "id": item.id,
            "span": span_name(decision),
            "source": decision.source,
            "video_id": decision.video_id,
            "where": f"{decision.span.start_s:.2f} to {decision.span.stop_s:.2f} s",
            "stratum": item.stratum,
            "score": _format_score(item),
            "cut": decision.span.seconds > preview.MAX_PREVIEW_S,
        }
        try:
            data = _make_preview(run, item, planned.get((decision.source, decision.video_id)), roots, media)
            durable_io.write(out / "clips" / f"{item.id}.mp4", data)
            entry["clip"] = f"clips/{item.id}.mp4"
        except (MediaError, FaultError, KeyError, OSError) as error:
            entry["reason"] = str(error) or type(error).__name__
        entries.append(entry)
        on_item(number + 1)
    sheet = {
        "fingerprint": review.fingerprint,
        "inputs_sha256": review.inputs_sha256,
        "n": review.n,
        "seed": review.seed,
        "stages": STAGES,
        "items": entries,
    }
    script = json.dumps(sheet).replace("<", "\\u003c")  # a name from outside must not end the script element
    html = render_page(PAGE, data=script)
    durable_io.write(out / PAGE, html.encode())
    return out / PAGE


def _make_preview(run: RunFolder, item: ReviewItem, video: Video | None, roots: dict[str, Path], media: Any) -> bytes:
    """Return an mp4 of a span: the clip as stored, or a preview of the input where no clip was stored."""
    decision = item.decision
    if item.stratum == KEPT:
        with ShardReader(run.unit_folder(decision.attempt, decision.unit) / PART) as reader:
            members = reader.index.by_key()[decision.clips[0]]
            return preview.clip_preview(
                {kind: reader.read(member) for kind, member in members.items() if kind != "json"}
            )
    root = roots.get(decision.source)
    if root is None or video is None:
        raise MediaError(
            "missing", f"the folder of {decision.source} is not known; name it with --source {decision.source}=DIR"
        )
    start_s = video.start_s or 0.0
    within = TimeRange(start_s + decision.span.start_s, start_s + decision.span.stop_s)
    sound = None if video.sound_path is None or video.own_sound_first else root / video.sound_path
    path = Path(os.path.join(root, video.path))
    return preview.input_preview(path, sound, within, media)


def _format_score(item: ReviewItem) -> str:
    """Return "score, required operator threshold", or an empty text where the decision has no score."""
    decision = item.decision
    if decision.score is None or decision.threshold is None:
        return ""
    return f"{decision.score:g}, required {decision.operator} {decision.threshold:g}"
