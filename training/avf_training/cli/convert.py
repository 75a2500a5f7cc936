"""avf-train convert: a checkpoint of the authors to a model of this package, and the reverse."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, set_completer
from avf_shards.cli.paths import local_path, output_file, output_folder

from avf_training.cli.options import preset_names, require_files


def add(commands: Any) -> None:
    """Add `convert`."""
    parser = add_command(
        commands,
        "convert",
        _run,
        help="Convert a checkpoint of the authors or of MAE to a model folder of avf-train, or the reverse.",
        epilog="examples:\n  avf-train convert checkpoint.pth --out MODEL\n"
        "  avf-train convert mae_pretrain_vit_base.pth --out MODEL",
    )
    parser.add_argument(
        "source",
        metavar="FILE.pth|MODEL",
        type=local_path,
        help="checkpoint of the authors, or a model folder of avf-train",
    )
    parser.add_argument(
        "--out",
        metavar="MODEL|FILE.pth",
        type=lambda text: output_file(text) if text.endswith(".pth") else output_folder(text),
        required=True,
        help="model folder to write, or file to write in the authors' format",
    )
    config = parser.add_mutually_exclusive_group()
    preset_option = config.add_argument(
        "--preset", metavar="NAME", help="name of the published model (default: recognized by the sizes of its tensors)"
    )
    set_completer(preset_option, preset_names)
    config.add_argument(
        "--config", metavar="FILE", type=local_path, help="config.json of a model whose sizes are not published"
    )


def _run(options: argparse.Namespace) -> int:
    require_files(options.source, *([options.config] if options.config else []))
    # After what is refused quickly: this loads torch.
    from avf_training.cli.checkpoint_files import convert_checkpoint
    from avf_training.conversion.convert import convert_to_authors, read_model_config
    from avf_training.framewise.models.image_files import is_image_model, read_image_model, write_mae_checkpoint
    from avf_training.models.presets import preset

    if options.source.is_dir():
        if is_image_model(options.source):
            count = write_mae_checkpoint(read_image_model(options.source), options.out)
            print(f"{options.out}: {count} tensors in MAE's names")
            return 0
        count = convert_to_authors(options.source, options.out)
        print(f"{options.out}: {count} tensors under the authors' names")
        return 0
    config = preset(options.preset) if options.preset else read_model_config(options.config) if options.config else None
    print(f"{options.out}: {convert_checkpoint(options.source, options.out, config)}")
    return 0
