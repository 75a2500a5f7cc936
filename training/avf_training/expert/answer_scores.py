"""Scores of a language model's answers by variant of the prompt, beside the expert alone, and their differences.

An answer that cannot be parsed is wrong: it counts in the recall of its clip's class and for no class as a prediction.
Shapes: N clips, C classes, U people, R repeats of the bootstrap; counts have a last column for unparsable answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from avf_training.evaluation.intervals import MIN_UNITS
from avf_training.evaluation.metrics import Floats
from avf_training.expert.answer_file import parse_answer
from avf_training.expert.prompt_set import VARIANTS, PromptSet, Variant, prompt_id, shown_clip

Counts = npt.NDArray[np.int64]
METRICS = ("ACC", "UAR", "UF1")
_REPEATS = 2000  # of the bootstrap
_SEED = 0
_ENDS = (2.5, 97.5)  # percentiles of a 95 % interval


@dataclass(frozen=True, kw_only=True)
class VariantScore:
    """Scores of the answers to a variant of the prompts, or of the expert alone."""

    clips: int  # number of answers
    metrics: Mapping[str, float]  # ACC, UAR, UF1, as shares
    unparsable: int = 0  # answers that name no label or several, and missing ones
    agreement: float | None = None  # share of answers that are the expert's first label for the same clip
    # Share of answers that are the first label of the expert's answer which the prompt shows; None: it shows none.
    agreement_with_shown: float | None = None
    confusion: tuple[tuple[int, ...], ...] = ()  # rows: truth; columns: labels, then unparsable


@dataclass(frozen=True, kw_only=True)
class AnswerDifference:
    """A metric of one variant minus that of another on the same clips, by a paired bootstrap over people."""

    first: str  # variant
    second: str  # variant, or expert
    metric: str  # ACC, UAR or UF1
    difference: float  # share
    low: float | None = None  # 95 % interval; None where there are too few people
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class AnswerScores:
    """All scores of a file of answers."""

    dataset: str  # name of the data set
    labels: tuple[str, ...]  # in the order of the confusion matrices
    people: int  # units that the intervals are over
    scores: Mapping[str, VariantScore]  # variant, or expert -> scores
    differences: tuple[AnswerDifference, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Return the values for --json."""
        return asdict(self)


def score_answers(prompts: PromptSet, answers: Mapping[str, str]) -> AnswerScores:
    """Return the scores of each variant and of the expert alone, and their differences.

    Args:
        answers: prompt id -> answer, for each prompt of the set.
    """
    clip_of = {clip.key: clip for clip in prompts.clips}
    predicted: dict[str, list[int | None]] = {
        variant: [parse_answer(answers[prompt_id(clip.key, variant)], prompts.labels) for clip in prompts.clips]
        for variant in VARIANTS
    }
    scores: dict[str, VariantScore] = {}
    for variant in VARIANTS:
        shown = [shown_clip(clip, variant, clip_of) for clip in prompts.clips]
        scores[variant] = _score(
            prompts,
            predicted[variant],
            agreement=_agreement(predicted[variant], [clip.expert for clip in prompts.clips]),
            agreement_with_shown=_agreement(
                predicted[variant], [None if clip is None else clip.expert for clip in shown]
            ),
        )
    expert: list[int | None] = [clip.expert for clip in prompts.clips]
    scores["expert"] = _score(prompts, expert)
    predicted["expert"] = expert
    counts = {name: _counts_by_unit(prompts, values) for name, values in predicted.items()}
    pairs: tuple[tuple[Variant, str], ...] = (("with", "without"), ("with", "shuffled"), ("with", "expert"))
    return AnswerScores(
        dataset=prompts.dataset,
        labels=prompts.labels,
        people=len(counts["expert"]),
        scores=scores,
        differences=tuple(each for pair in pairs for each in _differences(pair, counts)),
    )


def _score(
    prompts: PromptSet,
    predicted: Sequence[int | None],
    *,
    agreement: float | None = None,
    agreement_with_shown: float | None = None,
) -> VariantScore:
    counts = _counts_by_unit(prompts, predicted).sum(0)
    values = {name: float(value) for name, value in answer_metrics(counts).items()}
    return VariantScore(
        clips=len(predicted),
        metrics=values,
        unparsable=sum(index is None for index in predicted),
        agreement=agreement,
        agreement_with_shown=agreement_with_shown,
        confusion=tuple(tuple(row) for row in counts.tolist()),
    )


def _agreement(predicted: Sequence[int | None], shown: Sequence[int | None]) -> float | None:
    """Return the share of answers that are the shown label; None where nothing is shown."""
    if None in shown:
        return None
    return sum(mine == other for mine, other in zip(predicted, shown, strict=True)) / len(predicted)


def _counts_by_unit(prompts: PromptSet, predicted: Sequence[int | None]) -> Counts:
    """Return the confusion counts of each person, (U, C, C + 1)."""
    units = sorted({clip.unit for clip in prompts.clips})
    row_of, classes = {unit: row for row, unit in enumerate(units)}, len(prompts.labels)
    counts = np.zeros((len(units), classes, classes + 1), np.int64)
    for clip, index in zip(prompts.clips, predicted, strict=True):
        counts[row_of[clip.unit], clip.truth, classes if index is None else index] += 1
    return counts


def answer_metrics(counts: Counts) -> dict[str, Floats]:
    """Return ACC, UAR and UF1 of confusion counts (..., C, C + 1), each (...).

    UAR is over the classes that have clips, UF1 over those that are true or predicted somewhere, as in evaluation.
    """
    classes = counts.shape[-2]
    square = counts[..., :classes]
    hits = np.diagonal(square, axis1=-2, axis2=-1).astype(float)
    support, named = counts.sum(-1), square.sum(-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, f1 = hits / support, 2 * hits / (support + named)  # nan for a class without clips, or never named
        present = (~np.isnan(recall)).sum(-1), (~np.isnan(f1)).sum(-1)
        return {
            "ACC": hits.sum(-1) / support.sum(-1),
            "UAR": np.nansum(recall, -1) / present[0],
            "UF1": np.nansum(f1, -1) / present[1],
        }


def _differences(pair: tuple[str, str], counts: Mapping[str, Counts]) -> list[AnswerDifference]:
    first, second = (counts[name] for name in pair)
    points = [answer_metrics(each.sum(0)) for each in (first, second)]
    drawn = None
    if len(first) >= MIN_UNITS:
        # The same people in both: what differs between people cancels out.
        generator, people = np.random.Generator(np.random.Philox(_SEED)), len(first)
        weights_RU = generator.multinomial(people, [1 / people] * people, size=_REPEATS)
        drawn = [answer_metrics(np.tensordot(weights_RU, each, 1)) for each in (first, second)]
    results = []
    for metric in METRICS:
        low = high = None
        if drawn is not None:
            low, high = np.percentile(drawn[0][metric] - drawn[1][metric], _ENDS).tolist()
        difference = float(points[0][metric] - points[1][metric])
        results.append(
            AnswerDifference(first=pair[0], second=pair[1], metric=metric, difference=difference, low=low, high=high)
        )
    return results


def describe_scores(scores: AnswerScores) -> str:
    """Return the scores as lines for a terminal, in percent."""
    lines = [f"{scores.dataset}: {scores.scores['expert'].clips:,} clips of {scores.people:,} people, percent", ""]
    lines.append(f"  {'':<10}{''.join(f'{name:>8}' for name in METRICS)}{'unparsable':>12}{'expert':>8}{'shown':>8}")
    for name, score in scores.scores.items():
        cells = "".join(f"{100 * score.metrics[metric]:>8.2f}" for metric in METRICS)
        unparsable = None if name == "expert" else score.unparsable / score.clips
        shares = (unparsable, score.agreement, score.agreement_with_shown)
        texts = ["" if share is None else f"{100 * share:.1f}" for share in shares]
        lines.append(f"  {name:<10}{cells}{texts[0]:>12}{texts[1]:>8}{texts[2]:>8}".rstrip())
    lines += [
        "",
        "  unparsable answers count as wrong; expert, shown: answers that are the expert's, or the shown, label",
    ]
    for each in scores.differences:
        text = f"  {each.first} - {each.second}: {each.metric} {100 * each.difference:+.2f}"
        if each.low is not None and each.high is not None:
            text += f", 95 % {100 * each.low:+.2f} to {100 * each.high:+.2f}"
        lines.append(text)
    if scores.people < MIN_UNITS:
        lines.append(f"  no intervals: {scores.people} people, {MIN_UNITS} are needed")
    return "\n".join(lines)
