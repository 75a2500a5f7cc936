"""A trained image MAE looked at: its error on people it has not seen, and the pictures that it reconstructs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from avf_shards.errors import UserError
from avf_shards.text import shell_word

from avf_training.data.storage import StorageConfig
from avf_training.framewise.models.image_files import read_image_model
from avf_training.framewise.models.image_mae import ImageMAE
from avf_training.framewise.models.image_sizes import ImageViTConfig
from avf_training.framewise.pictures.pretrain_recipe import ImagePretrainRecipe
from avf_training.framewise.pictures.reconstruction import DrawnChoice, MaskedErrors, ValidationPictures, draw_pictures
from avf_training.framewise.pictures.shards import PictureShards
from avf_training.framewise.pictures.unseen_people import refuse_learned_pictures, refuse_seen_people
from avf_training.tasks.learned_clips import LEARNED, read_learned
from avf_training.trainer.run_folder import MODEL

_CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class TrainedMAE:
    """A model of image MAE with its decoder, in evaluation mode."""

    model: ImageMAE
    config: ImageViTConfig
    mask_ratio: float  # share of the patches that is hidden
    norm_pix: bool  # whether it predicts normalized patches


def read_trained_mae(folder: Path) -> TrainedMAE:
    """Return the model in a folder. Raises UserError for a model of another kind, as one without its decoder."""
    saved = read_image_model(folder)
    if saved.kind != "image_mae":
        raise UserError(
            f"{folder}: an image model without a decoder ({saved.kind}), which reconstructs nothing; name a run or "
            "model of `avf-train pretrain-images`"
        )
    model = ImageMAE(saved.config)
    model.load_state_dict(saved.tensors)
    return TrainedMAE(
        model=model.eval(),
        config=saved.config,
        mask_ratio=saved.values.get("mask_ratio", ImagePretrainRecipe.mask_ratio),
        norm_pix=saved.values.get("norm_pix") == "on",
    )


@dataclass(frozen=True, kw_only=True)
class TrainedMAEScores:
    """Errors of a model on pictures of people that it has not seen."""

    errors: MaskedErrors
    pictures: int  # that are scored
    unreadable: int  # pictures that could not be read, and are left out


def score_trained_mae(folder: Path, train: Sequence[str], validation: Sequence[str]) -> TrainedMAEScores:
    """Return the errors of a model beside those of mean predictors.

    Raises UserError, also where validation pictures or their persons are among those of training, or the list of what
    the model learned has them; FaultError.

    Args:
        folder: of the model, in its run or moved away from it.
        train: shards that the model was trained on, whose mean is the prediction to compare with.
        validation: shards of other people.
    """
    trained = read_trained_mae(folder)
    learned, others = PictureShards(train, StorageConfig()), PictureShards(validation, StorageConfig())
    refuse_seen_people(learned, others)
    lists = [folder / LEARNED, *([folder.parent / LEARNED] if folder.name == MODEL else [])]
    list_file = next((each for each in lists if each.is_file()), None)
    if list_file is not None:
        refuse_learned_pictures(read_learned(list_file), others, list_file)
    pictures = ValidationPictures(
        trained.config, norm_pix=trained.norm_pix, train=learned, validation=others, device=_CPU
    )
    errors = pictures.score(trained.model, trained.mask_ratio)
    return TrainedMAEScores(errors=errors, pictures=pictures.count, unreadable=pictures.unreadable)


def draw_reconstructions(folder: Path, shards: str, out: Path, *, key: str | None, seed: int) -> list[str]:
    """Draw pictures of shards, what a model sees of them and what it makes of that; return their keys.

    Raises UserError, FaultError.

    Args:
        folder: of the model.
        shards: folder or address of picture shards.
        out: file of the figure, whose ending is its format.
        key: of the picture to draw; None: of four.
        seed: of the choice of pictures and of the patches that are hidden.
    """
    trained = read_trained_mae(folder)
    stored = PictureShards([shards], StorageConfig())
    numbers = None if key is None else [_find(stored, key, shards)]
    pictures = ValidationPictures(
        trained.config,
        norm_pix=trained.norm_pix,
        train=stored,
        validation=None,
        device=_CPU,
        drawing=DrawnChoice(numbers=numbers, seed=seed),
    )
    hidden = f"{100 * trained.mask_ratio:g} % of the patches are hidden"
    draw_pictures(out, pictures.reconstruct(trained.model, trained.mask_ratio), hidden)
    return pictures.drawn_keys


def _find(shards: PictureShards, key: str, where: str) -> int:
    for number in range(len(shards)):
        if shards.key(number) == key:
            return number
    raise UserError(f"{where}: has no picture {key!r}; `avf-shards ls {shell_word(where)} --keys` lists them")
