"""avf-train evaluate-pretraining: score a pre-trained model on people that it was not trained on."""

import argparse
from dataclasses import asdict
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, write_answer
from avf_shards.errors import UserError

from avf_training.cli.options import add_model_option
from avf_training.data.shard_checks import require_shards


def add(commands: Any) -> None:
    """Add `evaluate-pretraining`."""
    parser = add_command(
        commands,
        "evaluate-pretraining",
        _run,
        help="Score a pre-trained model on people that it was not trained on: reconstruction error and recall.",
        details="Of image MAE (pretrain-images): the error on hidden patches of pictures, beside that of the mean.",
    )
    add_model_option(parser, "folder of a finished run of avf-train pretrain or pretrain-images", "RUN")
    parser.add_argument(
        "--shards",
        metavar="SHARDS",
        action="append",
        required=True,
        help="shards that the model was trained on, whose mean is the prediction to compare with; of image MAE repeat "
        "for each folder",
    )
    parser.add_argument(
        "--validation",
        metavar="SHARDS",
        action="append",
        required=True,
        help="shards of people that the model was not trained on; of image MAE repeat for each folder",
    )
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_training.config.pretrain import recipe_of_run
    from avf_training.trainer.run_folder import is_run_of

    if is_run_of(options.model, "pretrain-images"):
        return _score_pictures(options)
    shards, validation = (_only_folder(options, name) for name in ("shards", "validation"))
    recipe = recipe_of_run(options.model, "`avf-train pretrain` or `avf-train pretrain-images`")
    require_shards([shards, validation])
    # After what is refused quickly: this loads torch.
    from avf_training.console.training_tables import print_validation
    from avf_training.data.storage import StorageConfig
    from avf_training.models.mae import MaskedAutoencoder
    from avf_training.pretraining.validation import ValidationClips
    from avf_training.trainer.run_folder import MODEL

    model = MaskedAutoencoder.from_pretrained(options.model / MODEL)
    clips = ValidationClips(model.config, recipe.masks, train=shards, validation=validation, storage=StorageConfig())
    scores = clips.score(model)
    if not write_answer(options, asdict(scores) | scores.ratios()):
        print_validation(scores)
    return 0


def _only_folder(options: argparse.Namespace, name: str) -> str:
    """Return the one folder of an option. Raises UserError for several."""
    folders: list[str] = getattr(options, name)
    if len(folders) > 1:
        raise UserError(
            f"--{name}: {len(folders)} folders; a run of `avf-train pretrain` has one, and only image MAE more"
        )
    return folders[0]


def _score_pictures(options: argparse.Namespace) -> int:
    from avf_training.trainer.saved_model import start_model

    model = start_model(options.model)
    require_shards([*options.shards, *options.validation], "pictures")
    # After what is refused quickly: this loads torch.
    from avf_training.console.training_tables import print_masked_errors
    from avf_training.framewise.pictures.trained_mae import score_trained_mae

    scores = score_trained_mae(model, options.shards, options.validation)
    counts = {"pictures": scores.pictures, "unreadable": scores.unreadable}
    if not write_answer(options, asdict(scores.errors) | scores.errors.ratios() | counts):
        print_masked_errors(scores)
    return 0
