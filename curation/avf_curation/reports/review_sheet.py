"""The review sheet: a folder with one HTML page and its clips, which a browser opens without a network."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from avf_shards.format.run_folder import RunFolder
from avf_shards.system import durable_io
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.audit.review import Review, ReviewItem, span_name
from avf_curation.detectors.preview_marks import MarkFinder
from avf_curation.media import preview
from avf_curation.media.types import MediaError
from avf_curation.recipe import SourceSettings, read_run_recipe, stages_of_run
from avf_curation.reports.contact_sheets import SpanPreviews
from avf_curation.reports.html import TEMPLATES, render_page
from avf_curation.reports.label_studio import question, write_label_studio
from avf_curation.reports.output_folder import fill_new_folder
from avf_curation.stages.added_stages import reasons_with
from avf_curation.stages.checks import STAGES, order_stages
from avf_curation.stages.reasons import Reason

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
    with fill_new_folder(out) as folder:
        durable_io.make_folder(folder / "clips")
        recipe, finder = read_run_recipe(run.identity()), MarkFinder()
        entries, stages = [], order_stages(stages_of_run(run.identity()), STAGES)
        reasons = reasons_with(stages)
        with SpanPreviews(run, roots, {item.decision.video_id for item in review.items}) as previews:
            for number, item in enumerate(review.items):
                settings = recipe.settings_for(item.decision.source)
                entry = _make_entry(folder, item, previews, settings, finder)
                entries.append(entry | {"meaning": _explain(item, reasons)})
                on_item(number + 1)
        sheet = {
            "fingerprint": review.fingerprint,
            "inputs_sha256": review.inputs_sha256,
            "n": review.n,
            "seed": review.seed,
            "stages": stages,
            "items": entries,
        }
        html = render_page(PAGE, sheet=sheet, script=(TEMPLATES / "review.js").read_text("utf-8"))
        durable_io.write(folder / PAGE, html.encode())
        write_label_studio(folder, sheet, out.resolve().name)
    return out / PAGE


def _make_entry(
    folder: Path, item: ReviewItem, previews: SpanPreviews, settings: SourceSettings, finder: MarkFinder
) -> dict[str, Any]:
    """Write the clip of a span and return what the page shows of the span."""
    decision, config = item.decision, preview.PreviewConfig()
    # A shot that is rejected is shown with what is around its cuts.
    before_s = min(1.0, decision.span.start_s) if item.stratum.startswith("scenes/") else 0.0
    entry: dict[str, Any] = {
        "id": item.id,
        "span": span_name(decision),
        "source": decision.source,
        "video_id": decision.video_id,
        "where": f"{decision.span.start_s:.2f} to {decision.span.stop_s:.2f} s",
        "stratum": item.stratum,
        "question": question(item.stratum),
        "score": _format_score(item),
        "cut": decision.span.seconds + before_s > config.max_s,
    }
    try:
        made = previews.make(decision, config, before_s=before_s)
    except MediaError as error:
        return entry | {"reason": str(error)}
    durable_io.write(folder / "clips" / f"{item.id}.mp4", made.mp4)
    marks = finder.find(made.frames_THWC, settings.faces, settings.quality.max_overlay_px)
    length_s = len(made.frames_THWC) / FRAMES_PER_SECOND
    ends = (before_s, before_s + decision.span.seconds)
    cuts = [end for end in ends if 0 < end < length_s - 0.5 / FRAMES_PER_SECOND] if before_s else []
    return entry | {
        "clip": f"clips/{item.id}.mp4",
        "length": round(length_s, 2),
        "faces": marks.faces,
        "logo": marks.logo,
        "logo_known": marks.logo_known,
        "cuts": [round(cut, 2) for cut in cuts],
    }


def _explain(item: ReviewItem, reasons: Mapping[str, Reason]) -> str:
    """Return why the span was rejected, or an empty text."""
    return reasons[item.stratum].sentence if item.stratum in reasons else ""


def _format_score(item: ReviewItem) -> str:
    """Return "score, required operator threshold", or an empty text where the decision has no score."""
    decision = item.decision
    if decision.score is None or decision.threshold is None:
        return ""
    return f"{decision.score:g}, required {decision.operator} {decision.threshold:g}"
