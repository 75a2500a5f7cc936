"""avf-train: models described, checked against the authors' numbers, converted, and looked at."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avf_shards.cli.common import json_option, run_command, write_answer
from avf_shards.errors import UserError

from avf_training.cli import inference, study
from avf_training.cli.finetune import add_commands, resolve_device

RATIOS = "0.5:0.5,0.75:0.75,0.8:0.75,0.9:0.8125"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 = done, 1 = faults found, 2 = cannot do that, 130 = interrupted."""
    options = _parser().parse_args(arguments)
    return run_command("avf-train", lambda: int(options.run(options)), "stopped")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="avf-train",
        description="HiCMAE and AVF-MAE++: audio-visual masked autoencoders of talking faces.",
        epilog="examples:\n  avf-train describe\n  avf-train parity ORACLE.npz\n"
        "  avf-train convert checkpoint.pth --to MODEL\n  avf-train reconstruct SHARDS --out picture.png",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = _command(commands, "describe", "parameters, multiply-adds, tokens, memory, beside the papers'", _describe)
    one.add_argument("models", metavar="MODEL", nargs="*", help="default: all")
    one.add_argument("--modalities", choices=("av", "a", "v"), default="av", help="default: both")
    one.add_argument("--batch", metavar="N", type=int, default=8, help="clips, for the memory (default 8)")
    one.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="bf16", help="default: bf16")
    json_option(one)

    one = _command(commands, "parity", "our numbers beside the authors'; exit 1 where one is off", _parity)
    one.add_argument("files", metavar="FILE.npz", nargs="+", type=Path)
    one.add_argument(
        "--page", metavar="FILE", type=Path, help="fill this page (default: docs/parity.md if it is there)"
    )

    one = _command(commands, "convert", "the authors' checkpoint to ours, or ours to theirs", _convert)
    one.add_argument("source", metavar="FILE.pth|MODEL", type=Path, help="their file, or a folder of ours")
    one.add_argument("--to", metavar="MODEL|FILE.pth", type=Path, required=True, help="a new folder, or a new file")
    which = one.add_mutually_exclusive_group()
    which.add_argument("--model", metavar="NAME", help="published model it is (default: told by its sizes)")
    which.add_argument("--config", metavar="FILE", type=Path, help="config.json of a model of other sizes")

    one = _command(commands, "reconstruct", "a picture: original, masked, reconstructed", _reconstruct)
    one.add_argument("shards", metavar="SHARDS", type=Path, help="folder of packed shards")
    one.add_argument("--out", metavar="FILE.png", type=Path, required=True)
    one.add_argument("--key", help="the clip (default: the first)")
    which = one.add_mutually_exclusive_group()
    which.add_argument("--checkpoint", metavar="MODEL", type=Path, help="folder of a saved pre-trained model")
    which.add_argument("--model", metavar="NAME", default="avfmaepp_b", help="untrained (default avfmaepp_b)")
    one.add_argument("--ratios", metavar="V:A,...", help=f"mask ratios, video:sound (default: what fits of {RATIOS})")
    one.add_argument("--seed", type=int, default=0, help="of the masks and of an untrained model's weights")

    one = _command(commands, "bench", "what one core makes of your shards, and how many feed one GPU", _bench)
    one.add_argument("shards", metavar="SHARDS", help="folder of packed shards, or its address (https://, s3://)")
    one.add_argument("--cache", metavar="DIR", type=Path, help="keep there what an address gave")
    one.add_argument("--clips", metavar="N", type=int, default=64, help="clips to measure with (default 64)")
    one.add_argument("--model", metavar="NAME", default="avfmaepp_b", help="its input and masks (default avfmaepp_b)")
    one.add_argument(
        "--batch", metavar="N", type=int, default=164, help="clips of one GPU's step (default 164, the paper)"
    )
    one.add_argument("--step-s", metavar="S", type=float, default=0.2, help="seconds of that step (default 0.2)")
    json_option(one)

    one = _command(commands, "pretrain", "train on shards; killed, the same line goes on", _pretrain)
    one.add_argument("--recipe", metavar="NAME|FILE", required=True, help="of training/recipes, or a file of yours")
    one.add_argument("--shards", metavar="SHARDS", required=True, help="folder of packed shards, or its address")
    one.add_argument("--out", metavar="RUN", type=Path, required=True, help="folder of the run; made if missing")
    one.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="any field, as in --set steps=30")
    one.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    one.add_argument("--cache", metavar="DIR", type=Path, help="keep there what an address gave")
    one.add_argument("--held-out", metavar="SHARDS", help="of people it must not see: score and picture of them")
    one.add_argument("--from-step", metavar="N", type=int, help="go on from this checkpoint, not from the newest")

    one = _command(commands, "plan", "steps, hours and memory of a recipe, from a few measured steps", _plan)
    one.add_argument("--recipe", metavar="NAME|FILE", required=True)
    one.add_argument("--shards", metavar="SHARDS", required=True, help="folder of packed shards, or its address")
    one.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="any field of the recipe")
    one.add_argument("--devices", metavar="N", type=int, default=8, help="devices of the run (default 8, the paper)")
    one.add_argument("--clips", metavar="N", type=int, help="of a measured step (default: micro_batch; on a CPU 2)")
    one.add_argument("--steps", metavar="N", type=int, default=5, help="measured steps (default 5)")
    one.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    one.add_argument("--cache", metavar="DIR", type=Path, help="keep there what an address gave")
    json_option(one)

    one = _command(commands, "held-out", "a model's error and recall on people it never saw", _held_out)
    one.add_argument("folder", metavar="RUN", type=Path, help="folder of a finished run")
    one.add_argument("--train", metavar="SHARDS", required=True, help="that it was trained on, for the mean predictor")
    one.add_argument("--unseen", metavar="SHARDS", required=True, help="of people it never saw")
    json_option(one)

    one = _command(commands, "replay", "the step that stopped a run for want of a finite loss, taken apart", _replay)
    one.add_argument("folder", metavar="RUN", type=Path)
    one.add_argument("--shards", metavar="SHARDS", required=True, help="of the run")
    one.add_argument("--rank", metavar="N", type=int, default=0, help="whose part of the step (default 0)")
    json_option(one)

    add_commands(commands, _command)
    study.add_commands(commands, _command)
    inference.add_commands(commands, _command)
    return parser


def _command(commands: Any, name: str, text: str, run: Callable[[Any], int]) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    one.set_defaults(run=run)
    return one


def _describe(options: argparse.Namespace) -> int:
    from avf_training.console.training_tables import print_summaries
    from avf_training.models.precision import Precision
    from avf_training.models.presets import PRESETS, preset
    from avf_training.models.summary import summarize_model

    if options.batch < 2:
        raise UserError(f"--batch {options.batch} must be at least 2: the contrastive loss needs negatives")
    models = [preset(name, options.modalities) for name in options.models or PRESETS]
    found = [summarize_model(model, options.batch, Precision(compute=options.precision)) for model in models]
    if not write_answer(options, [asdict(one) for one in found]):
        print_summaries(found, options.batch, options.precision)
    return 0


def _parity(options: argparse.Namespace) -> int:
    from avf_training.console.training_tables import fill_page, print_parity
    from avf_training.conversion.parity import compare_with_oracle

    rows = [row for file in options.files for row in compare_with_oracle(file)]
    print_parity(rows)
    page = options.page or Path("docs/parity.md")
    if options.page or page.is_file():
        fill_page(page, rows)
    return 0 if all(row.passed for row in rows) else 1


def _convert(options: argparse.Namespace) -> int:
    from avf_training.conversion.convert import (
        convert_state_dict,
        convert_to_authors,
        read_authors_checkpoint,
        read_model_config,
    )
    from avf_training.models.presets import preset

    if options.source.is_dir():
        count = convert_to_authors(options.source, options.to)
        print(f"{options.to}: {count} tensors under the authors' names")
        return 0
    config = preset(options.model) if options.model else read_model_config(options.config) if options.config else None
    made = convert_state_dict(read_authors_checkpoint(options.source), config)
    made.save(options.to)
    outputs = f", {made.outputs} outputs" if made.outputs else ""
    print(f"{options.to}: {made.kind} {made.config.name}{outputs}, {len(made.tensors)} tensors")
    return 0


def _reconstruct(options: argparse.Namespace) -> int:
    from avf_training.pretraining.reconstruction import ReconstructionRequest, save_reconstruction

    ratios = options.ratios or RATIOS
    asked = options.ratios is not None
    request = ReconstructionRequest(
        shards=options.shards,
        key=options.key,
        checkpoint=options.checkpoint,
        model_name=options.model,
        ratios=ratios,
        all_must_fit=asked,
        seed=options.seed,
    )
    save_reconstruction(request, options.out)
    print(options.out)
    return 0


def _bench(options: argparse.Namespace) -> int:
    from avf_training.console.training_tables import print_stream_cost
    from avf_training.data.benchmark import stream_cost
    from avf_training.data.storage import StorageConfig

    for name in ("clips", "batch", "step_s"):
        if getattr(options, name) <= 0:
            raise UserError(f"--{name.replace('_', '-')} {getattr(options, name)} must be above 0")
    cost = stream_cost(options.shards, options.clips, options.model, StorageConfig(cache=options.cache))
    if not write_answer(options, asdict(cost) | {"cores": cost.cores(options.step_s, options.batch)}):
        print_stream_cost(cost, options.batch, options.step_s)
    return 0


def _pretrain(options: argparse.Namespace) -> int:
    from avf_training.config.pretrain import load_recipe
    from avf_training.data.storage import StorageConfig
    from avf_training.distributed.environment import torchrun_environment
    from avf_training.pretraining.pretrain import PretrainingData, pretrain

    device = resolve_device(options.device)
    recipe = load_recipe(options.recipe, options.set)
    storage = StorageConfig(cache=options.cache)
    data = PretrainingData(shards=options.shards, held_out=options.held_out, storage=storage)
    reached = pretrain(recipe, data, options.out, device=device, from_step=options.from_step)
    if torchrun_environment().rank == 0:
        print(f"{options.out}: step {reached}")
        pictures = sorted((options.out / "pictures").glob("step-*.png"))
        for what, path in (("curve", options.out / "curve.png"), *(("picture", path) for path in pictures[-1:])):
            print(f"  {what:<9}{path}")
    return 0


def _plan(options: argparse.Namespace) -> int:
    from avf_training.config.pretrain import load_recipe
    from avf_training.console.training_tables import print_cost_estimate
    from avf_training.data.storage import StorageConfig
    from avf_training.pretraining.cost_estimate import estimate_training_cost
    from avf_training.pretraining.pretrain import PretrainingData

    device, recipe = resolve_device(options.device), load_recipe(options.recipe, options.set)
    clips = options.clips or (min(2, recipe.micro_batch) if device == "cpu" else recipe.micro_batch)
    if min(options.devices, options.steps) < 1 or clips < 2:
        raise UserError("--devices and --steps must be at least 1, --clips at least 2")
    data = PretrainingData(shards=options.shards, storage=StorageConfig(cache=options.cache))
    made = estimate_training_cost(
        recipe, data, options.devices, measured_batch=clips, measured_steps=options.steps, device=device
    )
    if not write_answer(options, asdict(made)):
        print_cost_estimate(made)
    return 0


def _held_out(options: argparse.Namespace) -> int:
    from avf_training.config.pretrain import recipe_of_run
    from avf_training.console.training_tables import print_validation
    from avf_training.data.storage import StorageConfig
    from avf_training.models.mae import MaskedAutoencoder
    from avf_training.pretraining.validation import ValidationClips
    from avf_training.trainer.run_folder import MODEL

    recipe, model = recipe_of_run(options.folder), MaskedAutoencoder.from_pretrained(options.folder / MODEL)
    found = ValidationClips(
        model.config, recipe.masks, train=options.train, unseen=options.unseen, storage=StorageConfig()
    ).score(model)
    if not write_answer(options, asdict(found) | found.told()):
        print_validation(found)
    return 0


def _replay(options: argparse.Namespace) -> int:
    from avf_training.console.training_tables import print_replay
    from avf_training.data.storage import StorageConfig
    from avf_training.pretraining.replay import replay_step

    found = replay_step(options.folder, options.shards, StorageConfig(), options.rank)
    if not write_answer(options, asdict(found) | {"finite": found.finite}):
        print_replay(found)
    return 0 if found.finite else 1


if __name__ == "__main__":
    sys.exit(main())
