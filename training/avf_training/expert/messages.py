"""Prompts with their true answers as conversations for fine-tuning tools: a line of JSON for each.

The layout is that of ms-swift (`messages`, `images`) and of LLaMA-Factory's format `sharegpt` with the tags role,
content, user and assistant: an `<image>` in the text for each picture, in order.
"""

import json
from pathlib import Path

from avf_shards.errors import UserError

from avf_training.expert.prompt_set import PromptSet, Variant, spoken

PARTS = ("train", "test")


def conversation_lines(
    prompts: PromptSet, folder: Path, *, variant: Variant, fold: int | None = None, part: str = "train"
) -> str:
    """Return the conversations of a set. The language model answers with the true label.

    Args:
        folder: of the set; the paths of pictures are absolute.
        variant: of the prompts.
        fold: number of the fold that the language model will be tested on; None: all clips.
        part: train: the clips that the fold does not test; test: those that it tests.

    Raises:
        UserError: The part of the fold has no clip.
    """
    key_parts = {clip.key: clip for clip in prompts.clips}
    if fold is not None:
        key_parts = {key: clip for key, clip in key_parts.items() if (clip.fold == fold) == (part == "test")}
    if not key_parts:
        folds = sorted({clip.fold for clip in prompts.clips})
        raise UserError(
            f"--fold {fold}: no clip to {part} on; the expert's answers are of the folds {', '.join(map(str, folds))}"
        )
    lines = []
    for prompt in prompts.prompts():
        if prompt["variant"] != variant or prompt["clip"] not in key_parts:
            continue
        clip = key_parts[prompt["clip"]]
        text = "<image>" * len(prompt["images"]) + prompt["prompt"]
        values = {
            "messages": [
                {"role": "user", "content": text},
                {"role": "assistant", "content": spoken(prompts.labels[clip.truth])},
            ],
            "images": [str((folder / path).resolve()) for path in prompt["images"]],
        }
        lines.append(json.dumps(values, ensure_ascii=False) + "\n")
    return "".join(lines)
