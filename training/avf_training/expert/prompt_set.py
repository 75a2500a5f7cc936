"""A set of prompts for multimodal language models: what is asked of each clip, in three variants, and its digest.

OUT/prompts.jsonl      a line for each prompt, without the truth
OUT/images/            the pictures that the prompts show
OUT/prompt_set.json    what scoring needs: labels, truth, the expert's answers, and the digest of all of it

Variants of a clip's prompt: `with` the expert's answer, `without` it, and `shuffled`, with the expert's answer for
another clip: a language model that only repeats the expert falls to chance there.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from avf_shards.errors import FaultError, UserError
from avf_shards.schema.versions import read_json, stamp
from avf_shards.settings.config import bind

Variant = Literal["with", "without", "shuffled"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
PROMPTS, PROMPT_SET, IMAGES = "prompts.jsonl", "prompt_set.json", "images"


@dataclass(frozen=True, kw_only=True)
class PromptPicture:
    """A picture that a prompt shows."""

    path: str  # below the folder of the set
    frame: int  # of the clip, from 0
    sha256: str  # of the file


@dataclass(frozen=True, kw_only=True)
class PromptedClip:
    """A clip that is asked about."""

    key: str  # of the clip in the shards
    fold: int  # number of the fold that tests the clip
    truth: int  # index of the clip's label
    scores: tuple[float, ...]  # the expert's probability of each label
    shuffled_key: str  # clip whose answer of the expert stands in the variant `shuffled`
    unit: str  # person, session or recording of the clip, over which intervals are taken
    pictures: tuple[PromptPicture, ...]  # in the order of time

    @property
    def expert(self) -> int:
        """Index of the label that the expert gives the highest probability."""
        return max(range(len(self.scores)), key=self.scores.__getitem__)


@dataclass(frozen=True, kw_only=True)
class PromptSet:
    """All prompts of a data set."""

    dataset: str  # name of the data set
    labels: tuple[str, ...]  # in the order of their indices
    question: str  # what is asked, a sentence
    protocol: str  # by which the epochs of the expert's runs were selected
    clips: tuple[PromptedClip, ...]  # sorted by key

    def digest(self) -> str:
        """Return the SHA-256 of everything that an answer depends on: all prompts, pictures, answers and truth."""
        text = json.dumps([asdict(self), list(self.prompts())], sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def prompts(self) -> list[dict[str, Any]]:
        """Return the lines of prompts.jsonl without the digest: id, clip, variant, prompt, images."""
        clip_of = {clip.key: clip for clip in self.clips}
        return [
            {
                "id": prompt_id(clip.key, variant),
                "clip": clip.key,
                "variant": variant,
                "prompt": self._text(clip, shown_clip(clip, variant, clip_of)),
                "images": [picture.path for picture in clip.pictures],
            }
            for clip in self.clips
            for variant in VARIANTS
        ]

    def _text(self, clip: PromptedClip, shown: PromptedClip | None) -> str:
        count = len(clip.pictures)
        pictures = "This picture is a frame" if count == 1 else f"These {count} pictures are frames, in order of time,"
        lines = [f"{pictures} of a short video of a face."]
        if shown is not None:
            lines.append(
                "A model that was trained for this task has seen the video and gives these probabilities, which may be "
                f"wrong: {verbalize(self.labels, shown.scores)}."
            )
        names = ", ".join(map(spoken, self.labels))
        return "\n".join([*lines, self.question, f"Answer with one of these words alone: {names}."])


def prompt_id(key: str, variant: Variant) -> str:
    """Return the id of a prompt, which is unique in its set."""
    return f"{key}:{variant}"


def shown_clip(clip: PromptedClip, variant: Variant, clip_of: Mapping[str, PromptedClip]) -> PromptedClip | None:
    """Return the clip whose answer of the expert a variant shows; None for `without`."""
    return {"with": clip, "without": None, "shuffled": clip_of[clip.shuffled_key]}[variant]


def spoken(label: str) -> str:
    """Return a label as a prompt writes it."""
    return label.replace("_", " ")


def verbalize(labels: tuple[str, ...], scores: tuple[float, ...]) -> str:
    """Return probabilities as words, the highest first: `surprise 0.61, negative 0.30, positive 0.09`."""
    order = sorted(range(len(labels)), key=lambda index: (-scores[index], index))
    return ", ".join(f"{spoken(labels[index])} {scores[index]:.2f}" for index in order)


def prompt_lines(prompts: PromptSet) -> str:
    """Return the content of prompts.jsonl. Each line names the set that it is of."""
    digest = prompts.digest()
    rows = ({"prompt_set": digest, **prompt} for prompt in prompts.prompts())
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def prompt_set_as_json(prompts: PromptSet) -> bytes:
    """Return the content of prompt_set.json."""
    values = stamp({"digest": prompts.digest(), **asdict(prompts)}, "expert prompts")
    return (json.dumps(values, indent=1, sort_keys=True) + "\n").encode()


def read_prompt_set(folder: Path) -> PromptSet:
    """Return the set in a folder. Raises UserError where there is none, FaultError where it was changed."""
    path = folder / PROMPT_SET
    if not path.is_file():
        raise UserError(f"{folder}: holds no {PROMPT_SET}; `avf-train expert prompts` writes such a folder")
    values = read_json(path, "expert prompts")
    digest = values.get("digest")
    try:
        fields = {name: value for name, value in values.items() if name not in ("digest", "schema_version")}
        prompts = bind(PromptSet, fields)
        changed = prompts.digest() != digest
    except (UserError, KeyError, TypeError, ValueError, IndexError) as error:
        raise FaultError(f"{path}: not readable as a set of prompts ({error})") from None
    if changed:
        raise FaultError(f"{path}: was changed after it was written: its digest is not {digest}")
    return prompts
