"""Review of a run: a random sample of verdicts for people to judge, and precision and recall from their answers.

The sample is stratified by source and by kept or reason, and every span of a stratum is equally likely, so that rare
reasons are reviewed too; estimates weight each stratum by its number of spans. The same seed and number give the same
sample, so a file of answers holds only these two and the answers.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.schema.estimate import Estimate
from avf_shards.schema.ledger import Decision
from avf_shards.system.storage_faults import read_text
from avf_shards.text import load_json

from avf_curation.audit.confidence import effective_size, wilson_interval
from avf_curation.audit.sampling import sample_rows
from avf_curation.recipe import stages_of_run
from avf_curation.stages.checks import STAGES, order_stages

_LOG = logging.getLogger(__name__)

Answer = Literal["right", "wrong", "unsure"]
ANSWERS: tuple[Answer, ...] = ("right", "wrong", "unsure")
KEPT = "kept"


@dataclass(frozen=True, kw_only=True)
class ReviewItem:
    """One span of the sample."""

    id: str  # four digits, unique in the sample
    stratum: str  # "kept" or "stage/reason"
    decision: Decision  # row of the ledger


@dataclass(frozen=True, kw_only=True)
class Review:
    """A sample of verdicts to review."""

    fingerprint: str  # of the run's settings
    inputs_sha256: str  # of the run's inputs
    n: int  # requested number of spans
    seed: int  # of the random sample
    items: tuple[ReviewItem, ...]  # by source and stratum, each in ledger order
    sizes: dict[str, dict[str, int]]  # source -> stratum -> spans in the ledger


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A reviewer's answer on one span."""

    answer: Answer  # whether the run's verdict is right
    stage: str | None = None  # for a kept span that is wrong: the stage that should have rejected it, if known


@dataclass(frozen=True, kw_only=True)
class StageReview:
    """Precision and recall of one stage in one source, or of keeping spans (stage "kept")."""

    source: str  # name of the source
    stage: str  # name of the stage, or "kept"
    spans: int  # of the ledger that have this stage's verdict
    judged: int  # answers that are right or wrong
    unsure: int  # answers that are unsure
    precision: Estimate  # share of the stage's verdicts that are right
    #: Share of the spans the stage should reject (or keep) that it does reject. The interval combines two Wilson
    #: intervals, so it covers more than 95 %.
    recall: Estimate


def sample_review(run: RunFolder, n: int, seed: int) -> Review:
    """Sample `n` verdicts of a run, stratified by source and reason.

    Raises:
        UserError: `n` is less than 1, or the run has no verdict yet.
    """
    if n < 1:
        raise UserError(f"n {n}: a sample has at least 1 span")
    table = run.ledger()
    table = table.filter(pc.is_in(table["status"], value_set=pa.array([KEPT, "rejected"])))
    if not table.num_rows:
        raise UserError(f"{run.root}: no span is kept or rejected yet; there is nothing to review")
    reasons = pc.if_else(
        pc.equal(table["status"], KEPT), KEPT, pc.binary_join_element_wise(table["stage"], table["reason"], "/")
    )
    table = table.append_column("stratum", reasons)
    counts = table.group_by(["source", "stratum"]).aggregate([("video_id", "count")]).to_pylist()
    sizes: dict[str, dict[str, int]] = {}
    for row in sorted(counts, key=lambda row: (row["source"], row["stratum"])):
        sizes.setdefault(row["source"], {})[row["stratum"]] = row["video_id_count"]
    items: list[ReviewItem] = []
    for (source, stratum), size in _allot(sizes, n).items():
        rows = table.filter(pc.and_(pc.equal(table["source"], source), pc.equal(table["stratum"], stratum)))
        for decision in sample_rows(rows.drop_columns(["stratum"]), size, seed):
            items.append(ReviewItem(id=f"{len(items):04d}", stratum=stratum, decision=decision))
    _LOG.info("drew %d of %d verdicts in %d strata, seed %d", len(items), table.num_rows, len(counts), seed)
    return Review(
        fingerprint=run.identity().fingerprint,
        inputs_sha256=run.plan_summary().inputs_sha256,
        n=n,
        seed=seed,
        items=tuple(items),
        sizes=sizes,
    )


def _allot(sizes: Mapping[str, Mapping[str, int]], n: int) -> dict[tuple[str, str], int]:
    """Return (source, stratum) -> size of its sample: equal sizes with the sum `n`, as far as the strata allow."""
    remaining = {(source, stratum): size for source, strata in sizes.items() for stratum, size in strata.items()}
    allotted = dict.fromkeys(remaining, 0)
    while n and remaining:
        for stratum in list(remaining)[: n if n < len(remaining) else None]:
            allotted[stratum] += 1
            n -= 1
            remaining[stratum] -= 1
            if not remaining[stratum]:
                del remaining[stratum]
    return allotted


@dataclass(frozen=True, kw_only=True)
class ReviewAnswers:
    """A reviewer's answers on a sample."""

    review: Review  # the sample
    reviewer: str  # name; empty where the file has none
    verdicts: dict[str, Verdict]  # id of a span -> answer


def read_verdicts(path: Path, run: RunFolder) -> ReviewAnswers:
    """Read a file of answers and check it against the run.

    Raises:
        UserError: the file cannot be read, or does not belong to this sample; the message names the entry.
    """
    try:
        values = load_json(read_text(path, "utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise UserError(f"{path}: is not JSON; give the file that a page of `avf-curate review` saved") from None
    return check_verdicts(path, values, run)


def check_verdicts(path: Path, values: Any, run: RunFolder) -> ReviewAnswers:
    """Return the answers in the content of a file after checking them against the run.

    Args:
        path: the file that messages name.
        values: what the JSON says.

    Raises:
        UserError: `values` are no answers, or do not belong to this sample; the message names the entry.
    """
    try:
        seed, n = int(values["seed"]), int(values["n"])
        fingerprint, inputs_sha256 = str(values["fingerprint"]), str(values["inputs_sha256"])
        answers, reviewer = dict(values["verdicts"]), str(values.get("reviewer") or "").strip()
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise UserError(f"{path}: not a file of verdicts (fingerprint, inputs_sha256, n, seed, verdicts)") from None
    if n < 1 or seed < 0:
        raise UserError(f"{path}: has n {n} and seed {seed}; n must be at least 1, and the seed at least 0")
    review = sample_review(run, n, seed)
    if fingerprint != review.fingerprint:
        raise UserError(
            f"{path}: holds answers about a run with other settings: {fingerprint}, but {run.root} has "
            f"{review.fingerprint}"
        )
    if inputs_sha256 != review.inputs_sha256:
        raise UserError(
            f"{path}: holds answers about a run of other inputs: {inputs_sha256[:16]}, but {run.root} has "
            f"{review.inputs_sha256[:16]}"
        )
    known, stages = {item.id: item for item in review.items}, order_stages(stages_of_run(run.identity()), STAGES)
    verdicts = {}
    for name, value in answers.items():
        span = value.get("span") if isinstance(value, dict) else None
        if name not in known or span != span_name(known[name].decision):
            raise UserError(
                f"{path}: {name}: not a span of this sample; did the run change after the sample was drawn?"
            )
        answer, stage = value.get("answer"), value.get("stage")
        if answer not in ANSWERS:
            raise UserError(f"{path}: {name}: {answer!r} is not right, wrong or unsure")
        if stage is not None and stage not in stages:
            raise UserError(f"{path}: {name}: {stage!r} is not one of {', '.join(stages)}")
        verdicts[name] = Verdict(answer=answer, stage=stage)
    return ReviewAnswers(review=review, reviewer=reviewer, verdicts=verdicts)


def span_name(decision: Decision) -> str:
    """Return the name of a span in a file of verdicts."""
    return f"{decision.source}/{decision.video_id}/{decision.span.start_frame}-{decision.span.stop_frame}"


def score_review(review: Review, verdicts: Mapping[str, Verdict]) -> list[StageReview]:
    """Estimate precision and recall per source: of keeping, and of every stage that rejected a span there."""
    rows = []
    for source, strata in review.sizes.items():
        answers: dict[str, list[Verdict]] = {stratum: [] for stratum in strata}
        for item in review.items:
            if item.decision.source == source and item.id in verdicts:
                answers[item.stratum].append(verdicts[item.id])
        kept_spans = _JudgedStrata({KEPT: strata.get(KEPT, 0)}, {KEPT: answers.get(KEPT, [])})
        rejected = {stratum: size for stratum, size in strata.items() if stratum != KEPT}
        all_rejected = _JudgedStrata(rejected, answers)
        missed = all_rejected.share_wrong()
        rows.append(
            _rate_stage(
                source,
                KEPT,
                kept_spans,
                right=kept_spans.share_right(),
                missed=missed,
                other_spans=sum(rejected.values()),
            )
        )
        for stage in order_stages((stratum.partition("/")[0] for stratum in rejected), STAGES):
            sizes = {stratum: size for stratum, size in rejected.items() if stratum.startswith(f"{stage}/")}
            if sizes:
                judged = _JudgedStrata(sizes, answers)
                missed = wilson_interval(
                    sum(verdict.stage == stage for verdict in kept_spans.judged), len(kept_spans.judged)
                )
                rows.append(
                    _rate_stage(
                        source,
                        stage,
                        judged,
                        right=judged.share_right(),
                        missed=missed,
                        other_spans=strata.get(KEPT, 0),
                    )
                )
    return rows


class _JudgedStrata:
    """Answers on some strata, weighted by the numbers of spans in the strata."""

    def __init__(self, sizes: Mapping[str, int], answers: Mapping[str, list[Verdict]]) -> None:
        self.spans = sum(sizes.values())
        clear = {name: [v for v in answers[name] if v.answer != "unsure"] for name in sizes if name in answers}
        self.unsure = sum(verdict.answer == "unsure" for name in sizes for verdict in answers.get(name, ()))
        self.judged = [verdict for verdicts in clear.values() for verdict in verdicts]
        # Each answer stands for as many spans as its stratum has per answer.
        weights = [sizes[name] / len(verdicts) for name, verdicts in clear.items() for _ in verdicts]
        self._weights = np.array(weights, float)
        self._right = np.array([verdict.answer == "right" for verdict in self.judged], bool)

    def share_right(self) -> Estimate:
        return self._share(self._right)

    def share_wrong(self) -> Estimate:
        return self._share(~self._right)

    def _share(self, hits: np.ndarray) -> Estimate:
        count = effective_size(self._weights)
        total = float(self._weights.sum())
        return wilson_interval(float(self._weights[hits].sum()) / total * count if total else 0.0, count)


def _rate_stage(
    source: str, stage: str, judged: _JudgedStrata, *, right: Estimate, missed: Estimate, other_spans: int
) -> StageReview:
    """Return precision and recall of a stage.

    Args:
        right: share of the stage's verdicts that are right.
        missed: share of the spans with another verdict that this stage should have decided.
        other_spans: number of spans with another verdict.
    """

    def recall(hit: float, miss: float) -> float:
        true_positives, misses = judged.spans * hit, other_spans * miss
        return true_positives / (true_positives + misses) if true_positives + misses else float("nan")

    value = recall(right.value, missed.value if other_spans else 0.0)
    bounds = (
        recall(right.low, missed.high if other_spans else 0.0),
        recall(right.high, missed.low if other_spans else 0.0),
    )
    low, high = (0.0 if np.isnan(bounds[0]) else bounds[0], 1.0 if np.isnan(bounds[1]) else bounds[1])
    return StageReview(
        source=source,
        stage=stage,
        spans=judged.spans,
        judged=len(judged.judged),
        unsure=judged.unsure,
        precision=right,
        recall=Estimate(value=value, low=low, high=high),
    )


def review_as_json(rows: list[StageReview]) -> list[dict[str, Any]]:
    """Return the values that --json prints; a share without judged spans is null."""

    def replace_nan(values: dict[str, Any]) -> dict[str, Any]:
        for name in ("precision", "recall"):
            if np.isnan(values[name]["value"]):
                values[name]["value"] = None
        return values

    return [replace_nan(asdict(row)) for row in rows]
