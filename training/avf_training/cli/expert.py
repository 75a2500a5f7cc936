"""avf-train expert: a fine-tuned model as an expert beside a multimodal language model."""

import argparse
from pathlib import Path
from typing import Any

from avf_shards.cli.common import add_command, add_command_group, add_json_option, print_answer
from avf_shards.cli.logging_setup import progress_line
from avf_shards.cli.paths import local_path, output_folder, own_file
from avf_shards.errors import UserError
from avf_shards.system.own_files import OwnFile, text_with
from avf_shards.text import count_noun

from avf_training.cli.options import add_device_option, add_labelled_shards_option, labelled_shards
from avf_training.distributed.device_choice import resolve_device

_PROMPTS_DETAILS = """\
For each clip there are three prompts with its pictures: with the expert's answer as text, without it, and with its
answer for another clip (shuffled). The expert's answer comes from the fold that tests the clip, and is refused where
the model of that fold has learned from it.

OUT/prompts.jsonl has a line for each prompt: prompt_set, id, clip, variant, prompt, images. Ask any language model, and
write a line with prompt_set, id and answer for each."""
_SCORE_DETAILS = """\
An answer means the label that it names. One that names none or several is unparsable and counts as wrong. Differences
have 95 % intervals of a paired bootstrap over people."""
_EXPORT_DETAILS = """\
The layout is that of ms-swift, and of LLaMA-Factory's sharegpt with the tags role, content, user and assistant. With
--fold N --part train it has the clips that the fold does not test: a language model that is trained on them is tested
on --part test."""
_CONVERSATIONS = text_with("conversations of avf-train expert export", '{"messages": [{"role": "user"', '"images": [')


def add(commands: Any) -> None:
    """Add `expert` with `prompts`, `score`, `export` and `tokens`."""
    group = add_command_group(
        commands,
        "expert",
        help="Put a model's answers beside the question to a multimodal language model, and score what it says.",
    )
    _add_prompts(group)
    _add_score(group)
    _add_export(group)
    _add_tokens(group)


def _add_prompts(group: Any) -> None:
    parser = add_command(
        group,
        "prompts",
        _run_prompts,
        help="Write prompts for a language model, with the answer of the fold that never saw the clip.",
        details=_PROMPTS_DETAILS,
        epilog="example:\n  avf-train expert prompts FOLDS --shards CASME2 --out PROMPTS",
    )
    _add_runs(parser)
    parser.add_argument("--out", metavar="DIR", type=output_folder, required=True, help="new folder for the prompts")
    parser.add_argument(
        "--frames", metavar="N", type=int, default=3, help="pictures of each clip (default: %(default)s)"
    )
    parser.add_argument("--question", metavar="TEXT", help="question to ask (default: that of the kind of task)")
    add_json_option(parser)


def _add_runs(parser: argparse.ArgumentParser) -> None:
    """Add the runs of the expert, the shards, and which runs and epochs count."""
    parser.add_argument(
        "runs",
        metavar="RUN|FOLDS|STUDY",
        nargs="+",
        type=local_path,
        help="finished runs of avf-train finetune, the folder of `--fold all`, or a study's folder",
    )
    add_labelled_shards_option(parser)
    parser.add_argument("--dataset", metavar="NAME", help="data set whose runs are taken, where the folder has several")
    parser.add_argument(
        "--protocol",
        choices=("validation", "test_best", "last"),
        default="validation",
        help="protocol that chose the epoch of the expert (default: %(default)s)",
    )


def _add_score(group: Any) -> None:
    parser = add_command(
        group,
        "score",
        _run_score,
        help="Score the answers of a language model: accuracy, UAR, UF1, agreement with the expert.",
        details=_SCORE_DETAILS,
        epilog="example:\n  avf-train expert score PROMPTS answers.jsonl",
    )
    _add_set_argument(parser)
    parser.add_argument(
        "answers", metavar="FILE", type=local_path, help="JSONL file of answers: prompt_set, id and answer a line"
    )
    parser.add_argument(
        "--missing",
        choices=("refuse", "wrong"),
        default="refuse",
        help="what becomes of a prompt without an answer (default: %(default)s)",
    )
    add_json_option(parser)


def _add_export(group: Any) -> None:
    parser = add_command(
        group,
        "export",
        _run_export,
        help="Write prompts with their true answers as conversations for fine-tuning tools.",
        details=_EXPORT_DETAILS,
        epilog="example:\n  avf-train expert export PROMPTS --fold 1 --out train.jsonl",
    )
    _add_set_argument(parser)
    parser.add_argument(
        "--variant",
        choices=("with", "without", "shuffled"),
        default="with",
        help="variant of the prompts (default: %(default)s)",
    )
    parser.add_argument(
        "--fold", metavar="N", type=int, help="fold that the language model is tested on (default: all clips)"
    )
    parser.add_argument(
        "--part",
        choices=("train", "test"),
        help="clips that --fold does not test, or those that it tests (default: train)",
    )
    parser.add_argument(
        "--out", metavar="FILE", type=own_file(_conversations), required=True, help="JSONL file to write"
    )
    add_json_option(parser)


def _add_tokens(group: Any) -> None:
    parser = add_command(
        group,
        "tokens",
        _run_tokens,
        help="Write tokens of each clip for a projector, from the model of the fold that never saw the clip.",
        epilog="example:\n  avf-train expert tokens FOLDS --shards CASME2 --out tokens.safetensors",
    )
    _add_runs(parser)
    parser.add_argument(
        "--kind",
        choices=("regions", "frames"),
        default="regions",
        help="region tokens of the last video layer, or one for each pair of frames (default: %(default)s)",
    )
    parser.add_argument(
        "--out", metavar="FILE", type=own_file(_tokens_file), required=True, help=".safetensors file to write"
    )
    add_device_option(parser)
    add_json_option(parser)


def _add_set_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "prompts", metavar="PROMPTS", type=local_path, help="folder that avf-train expert prompts has written"
    )


def _tokens_file() -> OwnFile:
    from avf_training.expert.clip_tokens import TOKENS_FILE

    return TOKENS_FILE


def _conversations() -> OwnFile:
    return _CONVERSATIONS


def _run_prompts(options: argparse.Namespace) -> int:
    from avf_training.expert.fold_answers import list_fold_runs, read_expert_answers
    from avf_training.expert.prompts import PromptOptions, write_prompts

    settings = PromptOptions(frames=options.frames, question=options.question)
    _require_new(options.out)
    runs = list_fold_runs(options.runs, options.dataset)
    shards = labelled_shards(options)
    answers = read_expert_answers(runs, shards, options.protocol)
    prompts = write_prompts(answers, shards, options.out, options.protocol, settings)
    count = len(prompts.prompts())
    values = {
        "out": str(options.out),
        "digest": prompts.digest(),
        "clips": len(prompts.clips),
        "prompts": count,
        "runs": [str(run) for run in runs],
        "clips_without_answer": answers.without_answer,
    }
    text = (
        f"{options.out}: {count_noun(count, 'prompt')} about {count_noun(len(prompts.clips), 'clip')} of "
        f"{prompts.dataset}, from {count_noun(len(runs), 'run')}; set {prompts.digest()[:12]}"
    )
    print_answer(options, values, text)
    return 0


def _require_new(out: Path) -> None:
    if out.exists():
        raise UserError(f"{out}: is there already; name a new folder")


def _run_score(options: argparse.Namespace) -> int:
    from avf_training.expert.answer_file import read_answer_file
    from avf_training.expert.answer_scores import describe_scores, score_answers
    from avf_training.expert.prompt_set import read_prompt_set

    prompts = read_prompt_set(options.prompts)
    answers = read_answer_file(options.answers, prompts, missing_is_wrong=options.missing == "wrong")
    scores = score_answers(prompts, answers)
    print_answer(options, scores.as_dict(), describe_scores(scores))
    return 0


def _run_export(options: argparse.Namespace) -> int:
    from avf_shards.system.named_writes import write_text

    from avf_training.expert.messages import conversation_lines
    from avf_training.expert.prompt_set import read_prompt_set

    if options.part is not None and options.fold is None:
        raise UserError(f"--part {options.part}: is the part of a fold; name it with --fold N, or leave --part out")
    prompts = read_prompt_set(options.prompts)
    part = options.part or "train"
    text = conversation_lines(prompts, options.prompts, variant=options.variant, fold=options.fold, part=part)
    write_text(options.out, text)
    count = text.count("\n")
    values = {"out": str(options.out), "conversations": count, "digest": prompts.digest()}
    print_answer(options, values, f"{options.out}: {count_noun(count, 'conversation')}")
    return 0


def _run_tokens(options: argparse.Namespace) -> int:
    from avf_training.expert.clip_tokens import fold_tokens, write_tokens
    from avf_training.expert.fold_answers import list_fold_runs, read_expert_answers

    shards = labelled_shards(options)
    answers = read_expert_answers(list_fold_runs(options.runs, options.dataset), shards, options.protocol)
    total = len(answers.of_clip)
    with progress_line() as show:
        tokens = fold_tokens(
            answers,
            shards,
            options.protocol,
            options.kind,
            device=resolve_device(options.device),
            on_clip=lambda done: show(f"clip {done + 1} of {total}"),
        )
    write_tokens(options.out, tokens, answers.data.name, options.protocol, options.kind)
    count, width = next(iter(tokens.values())).shape
    values = {"out": str(options.out), "clips": total, "tokens": count, "width": width}
    print_answer(options, values, f"{options.out}: {count} tokens of {width} values of {count_noun(total, 'clip')}")
    return 0
