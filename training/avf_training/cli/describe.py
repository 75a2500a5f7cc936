"""avf-train describe: parameters, cost and memory of the published models."""

import argparse
from dataclasses import asdict
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, set_completer, write_answer
from avf_shards.cli.logging_setup import progress_line
from avf_shards.errors import UserError

from avf_training.cli.options import preset_names


def add(commands: Any) -> None:
    """Add `describe`."""
    parser = add_command(
        commands,
        "describe",
        _run,
        help="Print parameters, multiply-adds, tokens and memory of models beside the figures of the papers.",
    )
    presets = parser.add_argument(
        "presets", metavar="PRESET", nargs="*", help="names of published models, such as hicmae_b (default: all)"
    )
    set_completer(presets, preset_names)
    parser.add_argument(
        "--modalities",
        choices=("av", "a", "v"),
        default="av",
        help="av: audio and video; a: audio; v: video (default: %(default)s)",
    )
    parser.add_argument(
        "--batch", metavar="N", type=int, default=8, help="clips for which memory is computed (default: %(default)s)"
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16", "fp16"),
        default="bf16",
        help="precision for which memory is computed (default: %(default)s)",
    )
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_training.console.training_tables import print_summaries
    from avf_training.models.model_costs import STORED, CostSettings, load_preset_costs
    from avf_training.models.presets import PRESETS, preset

    if options.batch < 2:
        raise UserError(f"--batch {options.batch} must be at least 2: the contrastive loss needs negatives")
    settings = CostSettings(modalities=options.modalities, batch=options.batch, precision=options.precision)
    models = {name: preset(name, options.modalities) for name in options.presets or PRESETS}
    if settings == STORED:
        costs = load_preset_costs()
        summaries = [costs[name] for name in models]
    else:
        summaries = _count_costs(models, settings)
    if not write_answer(options, [asdict(summary) for summary in summaries]):
        print_summaries(summaries, options.batch, options.precision)
    return 0


def _count_costs(models: dict[str, Any], settings: Any) -> list[Any]:
    """Return the costs of models as they are counted here, which takes a second for each."""
    from avf_training.models.config import Precision
    from avf_training.models.summary import summarize_model

    precision, summaries = Precision(compute=settings.precision), []
    with progress_line() as show:
        for number, (name, model) in enumerate(models.items(), 1):
            show(f"{name}, {number} of {len(models)} models")
            summaries.append(summarize_model(model, settings.batch, precision))
    return summaries
