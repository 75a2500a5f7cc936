"""Was it right? A sample of verdicts for people to look at, and what their answers say of every stage and source.

The sample is drawn per stratum (source x kept or reason), each span of a stratum as likely as any other, so that rare
reasons are seen too; estimates weigh the strata by how many spans they hold. The same seed and number give the same
sample again, so a file of answers needs to carry nothing but those and the answers.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.errors import UserError
from avf_shards.estimate import Estimate
from avf_shards.format.run_folder import RunFolder
from avf_shards.schema.ledger import Decision

from avf_curation.audit.confidence import effective_size, wilson_interval
from avf_curation.audit.sampling import sample_rows
from avf_curation.stages.checks import STAGES

Answer = Literal["right", "wrong", "unsure"]
KEPT = "kept"


@dataclass(frozen=True, kw_only=True)
class ReviewItem:
    """One span of the sample. stratum: "kept" or "stage/reason"."""

    id: str
    stratum: str
    decision: Decision


@dataclass(frozen=True, kw_only=True)
class Review:
    """A sample. sizes: source -> stratum -> spans in the ledger."""

    fingerprint: str
    n: int
    seed: int
    items: tuple[ReviewItem, ...]
    sizes: dict[str, dict[str, int]]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A person's answer. stage: of a kept span that is wrong, the stage that should have stopped it, if it was said."""

    answer: Answer
    stage: str | None = None


@dataclass(frozen=True, kw_only=True)
class StageReview:
    """What the answers say of a stage in a source, or of what is kept (stage "kept").

    precision: of its verdicts, how many are right. recall: of what it should have stopped (kept: of what should be
    kept), how much it did; its interval joins two of Wilson's and is wider than 95 %.
    """

    source: str
    stage: str
    spans: int
    judged: int
    unsure: int
    precision: Estimate
    recall: Estimate


def sample_review(run: RunFolder, n: int, seed: int) -> Review:
    """The sample of a run. Raises UserError for a number that is none and for a run without verdicts."""
    if n < 1:
        raise UserError(f"--n {n}: at least 1")
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
    for (source, stratum), size in _shared_out(sizes, n).items():
        mine = table.filter(pc.and_(pc.equal(table["source"], source), pc.equal(table["stratum"], stratum)))
        for decision in sample_rows(mine.drop_columns(["stratum"]), size, seed):
            items.append(ReviewItem(id=f"{len(items):04d}", stratum=stratum, decision=decision))
    return Review(fingerprint=run.identity()["fingerprint"], n=n, seed=seed, items=tuple(items), sizes=sizes)


def _shared_out(sizes: Mapping[str, Mapping[str, int]], n: int) -> dict[tuple[str, str], int]:
    """How many of each stratum: alike for all, as far as they have so many."""
    left = {(source, stratum): size for source, strata in sizes.items() for stratum, size in strata.items()}
    given = dict.fromkeys(left, 0)
    while n and left:
        for place in list(left)[: n if n < len(left) else None]:
            given[place] += 1
            n -= 1
            left[place] -= 1
            if not left[place]:
                del left[place]
    return given


def read_verdicts(path: Path, review_of: RunFolder) -> tuple[Review, dict[str, Verdict]]:
    """A file of answers, checked against the run. Raises UserError naming the file and what is wrong in it."""
    try:
        values = json.loads(path.read_text("utf-8"))
        seed, n, fingerprint = int(values["seed"]), int(values["n"]), str(values["fingerprint"])
        answers = dict(values["verdicts"])
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: not a file of verdicts (fingerprint, n, seed, verdicts)") from None
    review = sample_review(review_of, n, seed)
    if fingerprint != review.fingerprint:
        raise UserError(f"{path}: of the run {fingerprint}, but {review_of.root} is {review.fingerprint}")
    known = {item.id: item for item in review.items}
    verdicts = {}
    for name, value in answers.items():
        spans = value.get("span") if isinstance(value, dict) else None
        if name not in known or spans != span_name(known[name].decision):
            raise UserError(f"{path}: {name}: not a span of this sample; was the run decided again since?")
        answer, stage = value.get("answer"), value.get("stage")
        if answer not in ("right", "wrong", "unsure"):
            raise UserError(f"{path}: {name}: {answer!r} is not right, wrong or unsure")
        if stage is not None and stage not in STAGES:
            raise UserError(f"{path}: {name}: {stage!r} is not one of {', '.join(STAGES)}")
        verdicts[name] = Verdict(answer=answer, stage=stage)
    return review, verdicts


def span_name(decision: Decision) -> str:
    """A span's name in a file of verdicts."""
    return f"{decision.source}/{decision.video_id}/{decision.span.start_frame}-{decision.span.stop_frame}"


def score_review(review: Review, verdicts: Mapping[str, Verdict]) -> list[StageReview]:
    """Precision and recall per source: of what is kept, and of every stage that rejected something there."""
    found = []
    for source, strata in review.sizes.items():
        told: dict[str, list[Verdict]] = {stratum: [] for stratum in strata}
        for item in review.items:
            if item.decision.source == source and item.id in verdicts:
                told[item.stratum].append(verdicts[item.id])
        kept = _Judged({KEPT: strata.get(KEPT, 0)}, {KEPT: told.get(KEPT, [])})
        rejected = {stratum: size for stratum, size in strata.items() if stratum != KEPT}
        everything = _Judged(rejected, told)
        lost = everything.wrong()
        found.append(_line(source, KEPT, kept, right=kept.right(), missed=lost, elsewhere=sum(rejected.values())))
        for stage in STAGES:
            mine = {stratum: size for stratum, size in rejected.items() if stratum.startswith(f"{stage}/")}
            if mine:
                judged = _Judged(mine, told)
                missed = wilson_interval(sum(one.stage == stage for one in kept.judged), len(kept.judged))
                found.append(
                    _line(source, stage, judged, right=judged.right(), missed=missed, elsewhere=strata.get(KEPT, 0))
                )
    return found


class _Judged:
    """The answers to some strata, weighed by the strata's sizes."""

    def __init__(self, sizes: Mapping[str, int], told: Mapping[str, list[Verdict]]) -> None:
        self.spans = sum(sizes.values())
        clear = {name: [one for one in told[name] if one.answer != "unsure"] for name in sizes if name in told}
        self.unsure = sum(one.answer == "unsure" for name in sizes for one in told.get(name, ()))
        self.judged = [one for ones in clear.values() for one in ones]
        weights = [sizes[name] / len(ones) for name, ones in clear.items() for _ in ones]
        self._weights = np.array(weights, float)
        self._right = np.array([one.answer == "right" for one in self.judged], bool)

    def right(self) -> Estimate:
        return self._share(self._right)

    def wrong(self) -> Estimate:
        return self._share(~self._right)

    def _share(self, hits: np.ndarray) -> Estimate:
        count = effective_size(self._weights)
        total = float(self._weights.sum())
        return wilson_interval(float(self._weights[hits].sum()) / total * count if total else 0.0, count)


def _line(source: str, stage: str, mine: _Judged, *, right: Estimate, missed: Estimate, elsewhere: int) -> StageReview:
    """missed: share of `elsewhere` spans that belonged here."""

    def recall(hit: float, miss: float) -> float:
        found, lost = mine.spans * hit, elsewhere * miss
        return found / (found + lost) if found + lost else float("nan")

    value = recall(right.value, missed.value if elsewhere else 0.0)
    ends = recall(right.low, missed.high if elsewhere else 0.0), recall(right.high, missed.low if elsewhere else 0.0)
    low, high = (0.0 if np.isnan(ends[0]) else ends[0], 1.0 if np.isnan(ends[1]) else ends[1])
    return StageReview(
        source=source,
        stage=stage,
        spans=mine.spans,
        judged=len(mine.judged),
        unsure=mine.unsure,
        precision=right,
        recall=Estimate(value=value, low=low, high=high),
    )


def review_as_json(found: list[StageReview]) -> list[dict[str, Any]]:
    """The shape that --json prints; what nobody judged is null."""

    def plain(values: dict[str, Any]) -> dict[str, Any]:
        for name in ("precision", "recall"):
            if np.isnan(values[name]["value"]):
                values[name]["value"] = None
        return values

    return [plain(asdict(one)) for one in found]
