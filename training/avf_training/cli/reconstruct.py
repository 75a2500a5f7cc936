"""avf-train reconstruct: a figure of a clip, masked and reconstructed."""

import argparse
from pathlib import Path
from typing import Any

from avf_shards.cli.common import add_command
from avf_shards.cli.paths import ending_of
from avf_shards.errors import UserError

from avf_training.cli.options import add_input_argument, add_model_option, add_preset_option
from avf_training.data.shard_checks import require_shards
from avf_training.inference.prediction_kinds import FIGURES

PRESET, RATIOS = "avfmaepp_b", "0.5:0.5,0.75:0.75,0.8:0.75,0.9:0.8125"


def add(commands: Any) -> None:
    """Add `reconstruct`."""
    parser = add_command(
        commands,
        "reconstruct",
        _run,
        help="Draw a clip: target, masked input, raw output of a model, and output with the patches' means restored.",
        details="Of an image MAE (--model of pretrain-images) and picture shards: four pictures or that of --key, "
        "what the model sees of them, and what it makes of that.",
    )
    add_input_argument(parser)
    parser.add_argument(
        "--out",
        metavar="FILE.png",
        type=ending_of(FIGURES),
        required=True,
        help="file of the figure: .png, .jpg, .pdf or .svg",
    )
    parser.add_argument("--key", help="key of the clip or picture (default: the first clip, four pictures)")
    add_model_option(parser, "pre-trained model or its run (default: random weights)", required=False)
    add_preset_option(parser, f"size of the model with random weights (default: {PRESET})")
    parser.add_argument(
        "--ratios",
        metavar="V:A,...",
        help=f"pairs of mask ratios, video:audio (default: those of {RATIOS} that fit the model's regions)",
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="seed of masks and random weights (default: %(default)s)"
    )


def _run(options: argparse.Namespace) -> int:
    from avf_training.inference.clip_input import find_shards, open_clips, require_clip, require_input
    from avf_training.models.mask_sampling import parse_ratios
    from avf_training.models.presets import preset
    from avf_training.models.saved_config import read_saved_config
    from avf_training.trainer.saved_model import require_model, start_model

    if options.model and options.preset:
        raise UserError("--model and --preset: a trained model has its own size; leave --preset out")
    if options.model and str(read_saved_config(start_model(options.model))["kind"]).startswith("image_"):
        return _draw_pictures(options)
    ratios = parse_ratios(options.ratios or RATIOS)
    if options.model:
        require_model(options.model)
    else:
        preset(options.preset or PRESET)
    require_input(options.input)
    shards_folder = find_shards(options.input)
    if shards_folder is not None:
        _require_clips(shards_folder)
    if shards_folder is not None and options.key is not None:
        require_clip(Path(shards_folder), options.key)
    # After what is refused quickly: this loads torch.
    from avf_training.pretraining.reconstruction_figure import ReconstructionRequest, Reconstructor

    request = ReconstructionRequest(
        model=start_model(options.model) if options.model else None,
        preset=options.preset or PRESET,
        ratios=ratios,
        all_must_fit=options.ratios is not None,
        seed=options.seed,
    )
    reconstructor = Reconstructor(request)  # before the clips: cutting them may take minutes
    with open_clips(options.input, options.clips) as shards:
        sentences = reconstructor.draw(Path(shards), options.key, options.out)
    print("\n".join(sentences))
    print(f"  figure    {options.out}")
    return 0


def _require_clips(shards: str) -> None:
    try:
        require_shards([shards], "clips")
    except UserError as error:
        raise UserError(f"{error}; --model takes the image MAE of a run of pretrain-images") from None


def _draw_pictures(options: argparse.Namespace) -> int:
    from avf_training.trainer.saved_model import start_model

    if options.ratios or options.clips:
        raise UserError(
            "--ratios and --keep-clips are of clips; an image MAE hides the share of a picture that it was trained with"
        )
    require_shards([str(options.input)], "pictures")
    # After what is refused quickly: this loads torch.
    from avf_training.framewise.pictures.trained_mae import draw_reconstructions

    keys = draw_reconstructions(
        start_model(options.model), str(options.input), options.out, key=options.key, seed=options.seed
    )
    print("\n".join(keys))
    print(f"  figure    {options.out}")
    return 0
