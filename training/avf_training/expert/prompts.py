"""From the expert's answers and the shards to a folder of prompts: pictures, the other clip of `shuffled`, texts."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from avf_shards.errors import FaultError, UserError
from avf_shards.sampling.hash_draw import priority
from avf_shards.system import durable_io
from avf_shards.system.new_folder import write_new_folder
from PIL import Image

from avf_training.data.decode import StoredAudio
from avf_training.expert.fold_answers import ExpertAnswers
from avf_training.expert.prompt_set import (
    IMAGES,
    PROMPT_SET,
    PROMPTS,
    PromptedClip,
    PromptPicture,
    PromptSet,
    prompt_lines,
    prompt_set_as_json,
)
from avf_training.inference.clip_pictures import frames_as_pictures
from avf_training.tasks.labelled_shards import LabelledShards

_QUALITY = 95  # of the JPEG pictures
_QUESTIONS = {
    "micro_expression": "Which micro-expression does the face show?",
    "emotion": "Which emotion does the person show?",
    "detection": "Is the video real, or was the face or the voice in it forged?",
}


@dataclass(frozen=True, kw_only=True)
class PromptOptions:
    """What the prompts ask and show."""

    frames: int = 3  # pictures of each clip: the first, the last, and others spread evenly between them
    question: str | None = None  # a sentence; None: that of the kind of task

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise UserError(f"--frames {self.frames} must be at least 1")
        if self.question is not None and not self.question.strip():
            raise UserError("--question must not be empty")


def write_prompts(
    answers: ExpertAnswers, shards: LabelledShards, out: Path, protocol: str, options: PromptOptions
) -> PromptSet:
    """Write the prompts into the new folder `out`, all of them or none; return the set.

    Raises:
        UserError: `out` exists, or there are fewer than two clips, so that no other clip's answer can be shown.
        FaultError: A clip cannot be read.
    """
    if len(answers.of_clip) < 2:
        raise UserError(f"{answers.data.name}: {len(answers.of_clip)} tested clip; the variant shuffled needs two")
    with write_new_folder(out) as folder:
        durable_io.make_folder(folder / IMAGES)
        prompts = _make_set(answers, shards, folder, protocol, options)
        durable_io.write(folder / PROMPTS, prompt_lines(prompts).encode())
        durable_io.write(folder / PROMPT_SET, prompt_set_as_json(prompts))
    return prompts


def _make_set(
    answers: ExpertAnswers, shards: LabelledShards, folder: Path, protocol: str, options: PromptOptions
) -> PromptSet:
    data, unit_of, other_of = answers.data, shards.units(answers.data), shuffled_clips(answers.of_clip)
    index_of = {clip.key: clip.index for clip in shards.clips()}
    clips = tuple(
        PromptedClip(
            key=key,
            fold=answer.fold,
            truth=answer.truth,
            scores=answer.scores,
            shuffled_key=other_of[key],
            unit=unit_of.get(key, key),
            pictures=_write_pictures(shards.read(index_of[key]), key, folder, options.frames),
        )
        for key, answer in answers.of_clip.items()
    )
    question = options.question or _QUESTIONS.get(data.task, _QUESTIONS["emotion"])
    return PromptSet(dataset=data.name, labels=data.labels, question=question, protocol=protocol, clips=clips)


def shuffled_clips(of_clip: Mapping[str, object]) -> dict[str, str]:
    """Return key -> another clip's key, each once: the next one in a random order that the keys alone decide."""
    order = sorted(of_clip, key=lambda key: priority(f"expert\0{key}"))
    return {key: order[(position + 1) % len(order)] for position, key in enumerate(order)}


def _write_pictures(files: Mapping[str, bytes], key: str, folder: Path, count: int) -> tuple[PromptPicture, ...]:
    total = StoredAudio(files["flac"]).frames
    frames = [total // 2] if count == 1 else sorted(set(np.linspace(0, total - 1, count).round().astype(int).tolist()))
    try:
        arrays = frames_as_pictures(files, frames)
    except FaultError as error:
        raise FaultError(f"{key}: {error}") from None
    pictures = []
    for number, (frame, array_HWC) in enumerate(zip(frames, arrays, strict=True), 1):
        buffer = io.BytesIO()
        Image.fromarray(array_HWC).save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
        path = f"{IMAGES}/{key}-{number}.jpg"
        durable_io.write(folder / path, buffer.getvalue())
        pictures.append(PromptPicture(path=path, frame=frame, sha256=hashlib.sha256(buffer.getvalue()).hexdigest()))
    return tuple(pictures)
