"""The audit report, one self-contained HTML page: funnels, reasons, histograms, contact sheets, versions."""

import logging
from collections.abc import Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.format.content import format_amount, input_noun
from avf_shards.format.run_folder import RunFolder
from avf_shards.schema.ledger import SCHEMA, Decision, table_to_decisions
from avf_shards.system import durable_io

from avf_curation.audit.funnel import LedgerSummary, funnel_steps
from avf_curation.audit.gate_evidence import read_gate_evidence
from avf_curation.audit.scores import LANGUAGE_COLUMNS, LanguageScores, names_languages, scores_by_language
from avf_curation.detectors.shipped_weights import SYNC_HEAD
from avf_curation.pipeline.failures import FAILURE_SENTENCES
from avf_curation.reports.contact_sheets import MEDIA_BUDGET_BYTES, make_contact_sheets
from avf_curation.reports.html import TEMPLATES, render_page
from avf_curation.reports.score_chart import make_score_chart
from avf_curation.reports.score_histograms import HISTOGRAM_COLUMNS, ScoreHistogram, count_scores
from avf_curation.runs.frozen_plan import read_plan
from avf_curation.runs.identity import remembered_roots
from avf_curation.runs.unit_log import read_unit_log
from avf_curation.stages.added_stages import reasons_with
from avf_curation.stages.reasons import Reason

_LOG = logging.getLogger(__name__)

EXCERPTS = 3
"""Spans of each source and verdict on the contact sheets, unless the command says otherwise."""
_MAX_ROWS = 200  # of the tables of failed spans and skipped inputs


def write_audit_report(
    run: RunFolder,
    summary: LedgerSummary,
    path: Path,
    *,
    seed: int = 0,
    excerpts: int = EXCERPTS,
    roots: dict[str, Path] | None = None,
) -> None:
    """Write the report of a run to `path`, atomically.

    Args:
        seed: of the random samples on the contact sheets.
        excerpts: most spans of each source and verdict on the contact sheets.
        roots: source -> folder of its videos; None: where the run read them.
    """
    reasons = reasons_with(summary.stages)
    histograms = count_scores(lambda: run.ledger_batches(HISTOGRAM_COLUMNS), reasons)
    sheets = make_contact_sheets(run, roots or remembered_roots(run), excerpts, seed)
    skipped = (skip for attempt in run.attempts() for skip in read_plan(run, attempt).skipped_inputs)
    identity = run.identity()
    own_sync_head = identity.weights.get("sync_head", SYNC_HEAD.sha256[:16]) != SYNC_HEAD.sha256[:16]
    html = render_page(
        "report.html",
        audit=summary,
        totals=summary.totals,
        stages=summary.stages,
        noun=input_noun(summary.content),
        stored="clip" if summary.content == "clips" else "picture",
        unit="span" if summary.content == "clips" else "picture",
        amount=partial(format_amount, content=summary.content),
        funnels={name: funnel_steps(source, summary.stages) for name, source in summary.sources.items()},
        panels=[(each, make_score_chart(each) if each.measured else None, _describe(each)) for each in histograms],
        languages=_score_languages(run),
        sheets=sheets,
        media_megabytes=MEDIA_BUDGET_BYTES // 1_000_000,
        filters=_filter_choices(summary, histograms, reasons),
        reasons=reasons,
        errors=FAILURE_SENTENCES,
        failures=_list_failures(run),
        slowest=_sum_stage_seconds(run),
        identity=identity,
        evidence=read_gate_evidence(identity.backends, own_sync_head=own_sync_head),
        own_sync_head=own_sync_head,
        skipped_inputs=list(islice(skipped, _MAX_ROWS)),
        seed=seed,
        excerpts=excerpts,
        run=run.root,
        script=(TEMPLATES / "report.js").read_text("utf-8"),
    )
    durable_io.replace_file(path, html.encode())
    _LOG.info("wrote the audit report %s", path)


def _score_languages(run: RunFolder) -> list[LanguageScores]:
    """Return the sync scores by language. The checks, most of a ledger, are read only where a language is known."""
    if not names_languages(run.ledger_batches(("language",))):
        return []
    return scores_by_language(run.ledger_batches(LANGUAGE_COLUMNS))


def _describe(histogram: ScoreHistogram) -> str:
    """Return what a chart shows, for people who do not see the chart."""
    limits = " and ".join(f"{operator} {limit:g}" for operator, limit in histogram.thresholds)
    return (
        f"{histogram.source}, {histogram.check}: scores of {histogram.kept_spans:,} kept and "
        f"{histogram.rejected_spans:,} rejected spans, from {histogram.lowest:.4g} to {histogram.highest:.4g}; "
        f"a span passes with {limits}"
    )


def _filter_choices(
    summary: LedgerSummary, histograms: list[ScoreHistogram], reasons: Mapping[str, Reason]
) -> dict[str, list[str]]:
    """Return what the page can be filtered by: name of the filter -> values, in the order of the stages."""
    used = {each.check for each in histograms}
    for source in summary.sources.values():
        used |= {*source.reasons, *source.errors}
    names = [*(name for name in reasons if name in used), *sorted(used - reasons.keys())]
    stages = list(dict.fromkeys(name.partition("/")[0] for name in names))
    return {"source": list(summary.sources), "stage": ["kept", *stages], "reason": names}


def _list_failures(run: RunFolder) -> list[Decision]:
    """Return the first failed rows."""
    failures: list[Decision] = []
    for batch in run.ledger_batches([name for name in SCHEMA.names if name not in ("checks", "measurements")]):
        failed = batch.filter(pc.equal(batch["status"], "failed"))
        if failed.num_rows:
            table = pa.Table.from_batches([failed]).slice(0, _MAX_ROWS - len(failures))
            rows: list[dict[str, Any]] = table.to_pylist()
            failures += table_to_decisions(pa.Table.from_pylist([row | {"checks": []} for row in rows], SCHEMA))
        if len(failures) >= _MAX_ROWS:
            break
    return failures


def _sum_stage_seconds(run: RunFolder) -> list[tuple[str, float]]:
    """Return (stage, seconds of all workers), slowest first, from the log of units."""
    sums: dict[str, float] = {}
    for entry in read_unit_log(run):
        for stage, seconds in entry.report.stage_seconds.items():
            sums[stage] = sums.get(stage, 0.0) + seconds
    return sorted(sums.items(), key=lambda item: -item[1])
