"""Options that several commands of avf-train share, and the objects that they describe."""

import argparse
from pathlib import Path
from typing import Any

from avf_shards.cli.common import set_completer
from avf_shards.cli.paths import local_path, output_folder
from avf_shards.errors import UserError

from avf_training.distributed.device_choice import check_device_name

RECIPES = Path(__file__).parents[1] / "recipes"


def add_recipe_option(parser: argparse.ArgumentParser, folder: Path, example: str) -> None:
    """Add `--recipe NAME|FILE`, whose names a shell completes, and `--set KEY=VALUE`."""
    action = parser.add_argument(
        "--recipe",
        metavar="NAME|FILE",
        required=True,
        help="a recipe of training/recipes by its name, or a file",
    )
    set_completer(action, lambda: [path.stem for path in folder.glob("*.yaml")])
    fields = parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help=f"one field of the recipe, as in --set {example}; repeat for more",
    )
    set_completer(fields, lambda: _recipe_fields(folder))


def _recipe_fields(folder: Path) -> list[str]:
    """Return the fields that our recipes of one kind set, as --set takes them, without `based_on` of their files."""
    import yaml
    from avf_shards.settings.config import flatten

    recipes = [yaml.safe_load(path.read_text("utf-8")) for path in folder.glob("*.yaml")]
    return sorted({f"{name}=" for recipe in recipes for name in flatten(recipe) if name != "based_on"})


def dataset_names() -> list[str]:
    """Return the names that --dataset takes, for a shell's completion."""
    from avf_training.tasks.catalog import DATASETS, list_added_names

    return [*(dataset.name for dataset in DATASETS), *list_added_names()]


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """Add `--device`."""
    parser.add_argument(
        "--device",
        type=_device,
        metavar="{auto,cuda,mps,cpu}",
        help="device to compute on; auto, the default, is cuda if present, else cpu",
    )


def _device(text: str) -> str | None:
    """Return the device of `--device`, None for auto; refuse at once, without torch, what cannot be there."""
    try:
        return check_device_name(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_cache_option(parser: argparse.ArgumentParser) -> None:
    """Add `--cache DIR` for shards at an address."""
    parser.add_argument(
        "--cache",
        metavar="DIR",
        type=local_path,
        help="folder that keeps what was read from an address (default: none)",
    )


def add_shards_option(parser: argparse.ArgumentParser) -> None:
    """Add `--shards SHARDS` for one folder or address."""
    parser.add_argument(
        "--shards", metavar="SHARDS", required=True, help="folder of packed shards, or its address (https://, s3://)"
    )


def add_picture_shards_argument(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add folders of picture shards as the first words."""
    parser.add_argument(
        "shards",
        metavar="SHARDS",
        nargs="+" if required else "*",
        help="folder of packed picture shards, or its address (https://, s3://); several are one corpus",
    )


def add_labelled_shards_option(parser: argparse.ArgumentParser) -> None:
    """Add `--shards SHARDS` for one or more folders of labelled shards."""
    parser.add_argument(
        "--shards",
        metavar="SHARDS",
        action="append",
        required=True,
        help="folder of packed labelled shards; repeat for each corpus",
    )


def add_model_option(
    parser: argparse.ArgumentParser, help: str, metavar: str = "RUN|MODEL", required: bool = True
) -> None:
    """Add `--model`, the option of every command that takes a trained model."""
    parser.add_argument("--model", metavar=metavar, type=local_path, required=required, help=help)


def add_models_option(parser: argparse.ArgumentParser, help: str) -> None:
    """Add `--model`, which may be given several times, for a command that averages models."""
    parser.add_argument(
        "--model", metavar="RUN|MODEL|FOLDS", type=local_path, action="append", required=True, help=help
    )


def add_input_argument(parser: argparse.ArgumentParser) -> None:
    """Add what a trained model looks at as the first word, and `--keep-clips` for clips that are cut from videos."""
    parser.add_argument(
        "input",
        metavar="VIDEO|DIR|SHARDS",
        type=local_path,
        help="a video, a folder of videos, the output of `avf-curate clip`, or packed shards",
    )
    parser.add_argument(
        "--keep-clips",
        dest="clips",
        metavar="DIR",
        type=output_folder,
        help="folder for the clips that are cut from videos, to use them again (default: they are removed)",
    )


def add_preset_option(parser: argparse.ArgumentParser, help: str, default: str | None = None) -> None:
    """Add `--preset NAME`, the option of every command that takes a published size of a model."""
    action = parser.add_argument("--preset", metavar="NAME", default=default, help=help)
    set_completer(action, preset_names)


def preset_names() -> list[str]:
    """Return the names of the published models, for a shell's completion."""
    from avf_training.models.presets import PRESETS

    return list(PRESETS)


def add_run_argument(parser: argparse.ArgumentParser) -> None:
    """Add the folder of a training run as the first word."""
    parser.add_argument("folder", metavar="RUN", type=local_path, help="folder of a training run")


def require_files(*paths: Path) -> None:
    """Raise UserError for a path where nothing is, before torch is loaded to read it."""
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such file")


def labelled_shards(options: argparse.Namespace) -> Any:
    """Return the clips of all folders that `--shards` names."""
    from avf_training.data.storage import StorageConfig
    from avf_training.tasks.labelled_shards import LabelledShards

    return LabelledShards(options.shards, StorageConfig(cache=getattr(options, "cache", None)))
