"""The review sheet: a folder with one HTML page and its clips, which a browser opens without a network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.system import durable_io

from avf_curation.audit.review import Review, ReviewItem, span_name
from avf_curation.media import preview
from avf_curation.media.types import MediaError
from avf_curation.reports.contact_sheets import SpanPreviews
from avf_curation.reports.html import render_page
from avf_curation.reports.label_studio import write_label_studio
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
    previews = SpanPreviews(run, roots, {item.decision.video_id for item in review.items})
    config = preview.PreviewConfig()
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
            "cut": decision.span.seconds > config.max_s,
        }
        try:
            durable_io.write(out / "clips" / f"{item.id}.mp4", previews.make(decision, config).mp4)
            entry["clip"] = f"clips/{item.id}.mp4"
        except MediaError as error:
            entry["reason"] = str(error)
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
    write_label_studio(out, sheet)
    return out / PAGE


def _format_score(item: ReviewItem) -> str:
    """Return "score, required operator threshold", or an empty text where the decision has no score."""
    decision = item.decision
    if decision.score is None or decision.threshold is None:
        return ""
    return f"{decision.score:g}, required {decision.operator} {decision.threshold:g}"
