"""Answers of a language model: a JSONL file with a line for each prompt, and the label that an answer means."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avf_shards.errors import FaultError, UserError
from avf_shards.system.storage_faults import read_text
from avf_shards.text import count_noun

from avf_training.expert.prompt_set import PromptSet, spoken

_DECLARED = re.compile(r"(?:answer|emotion|expression|label)\W{0,6}(?:is\W{0,3})?$", re.IGNORECASE)
_NEAR = 32  # characters before a label in which such a word stands


def read_answer_file(path: Path, prompts: PromptSet, *, missing_is_wrong: bool = False) -> dict[str, str]:
    """Return prompt id -> answer for every prompt of the set; an answer that is missing is empty.

    Raises:
        UserError: The file is of another set, answers a prompt twice or one that the set does not have, or lacks
            prompts and `missing_is_wrong` is False.
        FaultError: A line is no JSON object with the three keys.
    """
    digest, ids = prompts.digest(), [prompt["id"] for prompt in prompts.prompts()]
    answers: dict[str, str] = {}
    known = set(ids)
    for number, values in _read_lines(path):
        where = f"{path}:{number}"
        if values["prompt_set"] != digest:
            raise UserError(
                f"{where}: answers the prompt set {str(values['prompt_set'])[:12]}..., and this is {digest[:12]}...; "
                "score it against the folder that its prompts are from"
            )
        name = values["id"]
        if name not in known:
            raise UserError(f"{where}: the set has no prompt {name!r}")
        if name in answers:
            raise UserError(f"{where}: answers the prompt {name} a second time; leave one line of each prompt")
        answers[name] = values["answer"] or ""
    missing = [name for name in ids if name not in answers]
    if missing and not missing_is_wrong:
        raise UserError(
            f"{path}: has no answer for {missing[0]} ({count_noun(len(missing), 'prompt')} of {len(ids):,}); answer "
            "all, or count those as wrong with --missing wrong"
        )
    return {name: answers.get(name, "") for name in ids}


def _read_lines(path: Path) -> list[tuple[int, Mapping[str, Any]]]:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        lines = read_text(path, "utf-8-sig").split("\n")  # an answer may hold other ends of lines, such as U+2028
    except UnicodeDecodeError:
        raise FaultError(f"{path}: is not UTF-8 text") from None
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            raise FaultError(
                f"{path}:{number}: is no JSON; a line is an object with prompt_set, id and answer"
            ) from None
        absent = [name for name in ("prompt_set", "id", "answer") if not isinstance(values, dict) or name not in values]
        if absent:
            raise FaultError(f"{path}:{number}: has no {absent[0]}; a line is an object with prompt_set, id and answer")
        if not isinstance(values["id"], str) or not isinstance(values["answer"], str | None):
            raise FaultError(f"{path}:{number}: id must be a text, and answer a text or null")
        rows.append((number, values))
    return rows


def parse_answer(text: str, labels: Sequence[str]) -> int | None:
    """Return the index of the label that an answer means, or None where it cannot be told.

    Case, punctuation and the way in which words of a label are joined do not matter. Where an answer names several
    labels, it means the one that follows `answer`, `emotion`, `expression` or `label`, if that is a single one. Nothing
    is guessed: an answer that names no label, or several, is unparsable.
    """
    pattern, index_of = _label_pattern(labels)
    matches = [(match.start(), index_of[_normalize(match[0])]) for match in pattern.finditer(text)]
    indices = {index for _, index in matches}
    if len(indices) > 1:
        indices = {index for start, index in matches if _DECLARED.search(text[max(0, start - _NEAR) : start])}
    return indices.pop() if len(indices) == 1 else None


def _label_pattern(labels: Sequence[str]) -> tuple[re.Pattern[str], dict[str, int]]:
    index_of = {_normalize(label): index for index, label in enumerate(labels)}
    names = sorted(map(spoken, labels), key=len, reverse=True)  # a label may begin with another
    joined = "|".join(r"[\s_-]+".join(map(re.escape, name.split())) for name in names)
    return re.compile(rf"(?<![^\W_])(?:{joined})(?![^\W_])", re.IGNORECASE), index_of


def _normalize(label: str) -> str:
    return " ".join(re.split(r"[\s_-]+", label.lower()))
