"""avf-train score-files: the probability of a fake of each file of a list, as challenges want it."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, print_answer
from avf_shards.cli.logging_setup import progress_line
from avf_shards.cli.paths import local_path, own_file
from avf_shards.system.own_files import OwnFile
from avf_shards.text import count_noun

from avf_training.cli.options import add_device_option, add_input_argument, add_models_option, require_files

_DETAILS = """\
Each file of the list gets a line `file;score` in the order of the list; a higher score is a fake. The score of a file
is that of all windows of all people in it together, pooled in the way that was chosen with the model. A listed file is
the predicted one of this path, or the only one whose path ends like it.

A listed file without a prediction, as one without a face, is refused, or gets the score of --absent; each is named."""
_HOP_S = 1.28
_MOST_NAMED = 20


def add(commands: Any) -> None:
    """Add `score-files`."""
    parser = add_command(
        commands,
        "score-files",
        _run,
        help="Write how likely each file of a list is a fake, as a submission file;score.",
        details=_DETAILS,
        epilog="example:\n  avf-train score-files SHARDS --model RUN --list testA_files.txt --out submission.txt",
    )
    add_input_argument(parser)
    add_models_option(
        parser, "fine-tuned detector, its run, or a folder with a run for each fold; repeat to average several"
    )
    parser.add_argument(
        "--list", metavar="FILE", type=local_path, required=True, help="the files that are asked for, one a line"
    )
    parser.add_argument("--out", metavar="FILE", type=own_file(_scores), required=True, help="file to write")
    parser.add_argument(
        "--absent",
        metavar="RULE",
        default="refuse",
        help="what becomes of a listed file without a prediction: refuse, median, or its score (default: %(default)s)",
    )
    parser.add_argument(
        "--hop",
        metavar="S",
        type=float,
        default=_HOP_S,
        help="seconds from one window to the next (default: %(default)g)",
    )
    add_device_option(parser)
    add_json_option(parser)


def _scores() -> OwnFile:
    from avf_training.inference.file_scores import SCORES

    return SCORES


def _run(options: argparse.Namespace) -> int:
    from avf_training.data.window_length import check_hop
    from avf_training.inference.clip_input import open_clips, require_input
    from avf_training.inference.file_scores import (
        answer_list,
        check_absent_rule,
        check_list,
        pool_files,
        read_file_list,
        require_detector,
        write_file_scores,
    )
    from avf_training.trainer.saved_model import list_models, require_fine_tuned

    check_hop(options.hop)
    check_absent_rule(options.absent)
    require_files(options.list)
    listed = read_file_list(options.list)
    require_input(options.input)
    models = list_models(options.model)
    for model in models:
        require_fine_tuned(model)
    # After what is refused quickly: these load torch.
    from avf_training.distributed.device_choice import resolve_device
    from avf_training.inference.predictions import load_fine_tuned, predict_shards

    loaded = load_fine_tuned(models, resolve_device(options.device))
    require_detector(next(iter(loaded.values())))
    with open_clips(options.input, options.clips) as shards, progress_line() as show:
        check_list(listed, shards, options.absent)
        people = predict_shards(
            shards, loaded, options.hop, lambda video, number, clips: show(f"{video}: clip {number} of {clips}")
        )
    answers = answer_list(listed, pool_files(people), options.absent)
    write_file_scores(options.out, answers)
    lines = [f"{name}: no prediction" for name in answers.filled[:_MOST_NAMED]]
    if len(answers.filled) > _MOST_NAMED:
        lines.append(f"and {len(answers.filled) - _MOST_NAMED} more without a prediction")
    filled = f", {len(answers.filled)} of them {answers.rule}" if answers.filled else ""
    lines.append(f"{options.out}: {count_noun(len(listed), 'file')} by {people[0].pool} of their windows{filled}")
    if answers.unlisted:
        lines.append(f"{count_noun(answers.unlisted, 'file')} with a prediction that the list does not name")
    values = {"out": str(options.out), "files": len(listed), "pool": people[0].pool, "filled": list(answers.filled)}
    print_answer(options, values | {"unlisted": answers.unlisted}, "\n".join(lines))
    return 0
