"""Answers of several reviewers on the same sample: how far they agree, where they differ, and one answer from all."""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder

from avf_curation.audit.review import ReviewAnswers, Verdict, read_verdicts, span_name

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PairAgreement:
    """Two reviewers on the spans that both answered."""

    first: str  # name of a reviewer
    second: str  # name of the other
    spans: int  # that both answered
    agreed: int  # spans with the same answer
    kappa: float | None  # Cohen's kappa; None where both gave one and the same answer to all spans, or share no span


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """A span with different answers."""

    span: str  # "source/video/start-stop"
    stratum: str  # "kept" or "stage/reason": the run's verdict
    answers: dict[str, str]  # reviewer -> answer


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement of all reviewers."""

    reviewers: dict[str, int]  # name -> answers
    pairs: tuple[PairAgreement, ...]  # every two reviewers
    mean_kappa: float | None  # mean over the pairs that have one
    disagreements: tuple[Disagreement, ...]  # in the order of the sample

    def as_json(self) -> dict[str, Any]:
        """Return the values that --json prints."""
        return asdict(self)


def read_answers(paths: list[Path], run: RunFolder) -> list[ReviewAnswers]:
    """Read the files of several reviewers of one sample. A reviewer without a name of their own is named by the file.

    Raises:
        UserError: a file is refused by `read_verdicts` or given twice, or the files are about different samples.
    """
    files = [read_verdicts(path, run) for path in paths]
    first = files[0].review
    for path, answers in zip(paths, files, strict=True):
        if (answers.review.n, answers.review.seed) != (first.n, first.seed):
            raise UserError(
                f"{path}: is about another sample (n {answers.review.n}, seed {answers.review.seed}) than {paths[0]} "
                f"(n {first.n}, seed {first.seed}); give files of one page"
            )
    _check_repeated(paths, files)
    named = Counter(answers.reviewer for answers in files)
    return [
        answers
        if answers.reviewer and named[answers.reviewer] == 1
        else ReviewAnswers(review=answers.review, reviewer=str(path), verdicts=answers.verdicts)
        for path, answers in zip(paths, files, strict=True)
    ]


def _check_repeated(paths: list[Path], files: list[ReviewAnswers]) -> None:
    """Refuse a file that is given twice, and warn of a name that two files with different answers have."""
    for (first_path, first), (path, answers) in combinations(zip(paths, files, strict=True), 2):
        if path.resolve() == first_path.resolve():
            raise UserError(f"--verdicts {path}: is given twice; give each file once")
        if (answers.reviewer, answers.verdicts) == (first.reviewer, first.verdicts):
            raise UserError(
                f"--verdicts {path}: has the same reviewer and answers as {first_path}; give each file once, and each "
                "reviewer a name"
            )
        if answers.reviewer and answers.reviewer == first.reviewer:
            _LOG.warning(
                "%s and %s have the same reviewer, %s, and different answers: they count as two reviewers",
                first_path,
                path,
                answers.reviewer,
            )


def cohen_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Return Cohen's kappa of pairs of answers: 1 for full agreement, 0 for that of chance.

    Returns None without a pair, and where all answers are the same: chance alone would agree fully then.
    """
    if not pairs:
        return None
    observed = sum(first == second for first, second in pairs) / len(pairs)
    first_counts, second_counts = Counter(first for first, _ in pairs), Counter(second for _, second in pairs)
    expected = sum(first_counts[answer] * second_counts[answer] for answer in first_counts) / len(pairs) ** 2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def measure_agreement(files: list[ReviewAnswers]) -> Agreement:
    """Compare the answers (right, wrong or unsure) of all reviewers."""
    pairs = []
    for first, second in combinations(files, 2):
        common = [name for name in first.verdicts if name in second.verdicts]
        answers = [(first.verdicts[name].answer, second.verdicts[name].answer) for name in common]
        pairs.append(
            PairAgreement(
                first=first.reviewer,
                second=second.reviewer,
                spans=len(answers),
                agreed=sum(first_answer == second_answer for first_answer, second_answer in answers),
                kappa=cohen_kappa(answers),
            )
        )
    kappas = [pair.kappa for pair in pairs if pair.kappa is not None]
    disagreements = []
    for item in files[0].review.items:
        given = {file.reviewer: file.verdicts[item.id].answer for file in files if item.id in file.verdicts}
        if len(set(given.values())) > 1:
            disagreements.append(Disagreement(span=span_name(item.decision), stratum=item.stratum, answers=dict(given)))
    return Agreement(
        reviewers={file.reviewer: len(file.verdicts) for file in files},
        pairs=tuple(pairs),
        mean_kappa=sum(kappas) / len(kappas) if kappas else None,
        disagreements=tuple(disagreements),
    )


def merge_answers(files: list[ReviewAnswers]) -> dict[str, Verdict]:
    """Return one answer for each span: the one that most reviewers gave; unsure where no answer has the most."""
    merged = {}
    for item in files[0].review.items:
        given = [file.verdicts[item.id] for file in files if item.id in file.verdicts]
        if not given:
            continue
        (answer, count), *others = Counter(verdict.answer for verdict in given).most_common()
        if others and others[0][1] == count:
            merged[item.id] = Verdict(answer="unsure")
        else:
            stages = Counter(verdict.stage for verdict in given if verdict.answer == answer and verdict.stage)
            stage = min(stages, key=lambda name: (-stages[name], name)) if stages else None
            merged[item.id] = Verdict(answer=answer, stage=stage)
    return merged


def answers_as_json(identity: Mapping[str, Any], reviewer: str, verdicts: Mapping[str, Any]) -> bytes:
    """Return the content of a file of answers, as the review page saves it.

    Args:
        identity: of the sample: fingerprint, inputs_sha256, n and seed.
        verdicts: id of a span -> its answer, span and perhaps stage.
    """
    return (json.dumps({**identity, "reviewer": reviewer, "verdicts": verdicts}, indent=1) + "\n").encode()
