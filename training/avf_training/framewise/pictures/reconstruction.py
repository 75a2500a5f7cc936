"""Validation of image MAE: its error on hidden patches beside that of mean predictors, and a figure.

Shapes: B pictures, L patches, P values of a patch, N pictures of the figure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from avf_shards.sampling.mixture import Mixture
from avf_shards.sampling.stream_order import EpochwiseOrder, StreamOrder
from torch import Tensor

from avf_training.data.ordered_stream import StreamConfig
from avf_training.data.scored_items import ScoredItems
from avf_training.distributed.environment import launched_world
from avf_training.framewise.models.image_mae import (
    ImageMAE,
    MaskedPictures,
    from_patches,
    normalize_patches,
    to_patches,
)
from avf_training.framewise.models.image_sizes import ImageViTConfig
from avf_training.framewise.pictures.shards import PictureShards
from avf_training.framewise.pictures.stream import MaskedPictureBatch, MaskingSampler, PictureStream
from avf_training.models.inputs import IMAGE_MEAN, IMAGE_STD
from avf_training.tasks.sampling import TrainingOrder
from avf_training.trainer.figures import WIDTH_IN, load_pyplot, save_figure
from avf_training.trainer.progress import EvalCallback

_BATCH = 16  # pictures of one forward pass
_MAX_PICTURES = 256  # that are scored, and of training that the mean predictors average
_DRAWN = 4
RECONSTRUCTIONS = "reconstructions"


@dataclass(frozen=True, kw_only=True)
class MaskedErrors:
    """Mean square errors on hidden patches: of the model, and of two predictors that see nothing of the picture."""

    model: float
    mean_patch: float  # of the mean patch of the training pictures, at every position
    mean_image: float  # of the mean patch of each position, which knows where faces are

    def ratios(self) -> dict[str, float]:
        """Return the ratios by the names that curves and the console show."""
        return {"mse/mean patch": self.model / self.mean_patch, "mse/mean image": self.model / self.mean_image}


@dataclass(frozen=True, kw_only=True)
class DrawnChoice:
    """Which pictures are drawn."""

    numbers: Sequence[int] | None = None  # of the pictures; None: any
    seed: int = 0  # of the choice, and of the patches that are hidden


class ValidationPictures:
    """Whole pictures (256 at most) with fixed masks, kept in memory."""

    def __init__(
        self,
        config: ImageViTConfig,
        *,
        norm_pix: bool,
        train: PictureShards,
        validation: PictureShards | None,
        device: torch.device,
        drawing: DrawnChoice | None = None,
    ) -> None:
        """Read the pictures; without validation shards a few training pictures are drawn and not scored.

        Pictures that cannot be read are left out with a warning. Raises FaultError where none can be read.

        Args:
            config: sizes of the model.
            norm_pix: whether it predicts normalized patches.
            train: pictures of training.
            validation: pictures of other people; None: none are scored.
            device: of the model.
            drawing: which pictures of training are drawn; None: any.
        """
        self.config, self.device, self._norm_pix = config, device, norm_pix
        self._drawing = drawing or DrawnChoice()
        self._mean_LP = None if validation is None else self._mean_target(train)
        count = _DRAWN if validation is None else _MAX_PICTURES
        pictures = self._read(validation or train, count)
        self._batches = list(pictures)
        self.unreadable = pictures.unreadable  # pictures that could not be read, and are left out

    def _read(self, shards: PictureShards, count: int) -> ScoredItems[MaskedPictureBatch]:
        config = StreamConfig(
            shards=shards.shards[0],
            batch=1,
            epochs=1,
            storage=shards.storage,
            scored=True,
            warns=launched_world().rank == 0,  # with FSDP2 every rank reads the same
        )
        sampler = MaskingSampler(size_px=self.config.size_px, patches=self.config.grid**2, augment=None)
        seed, numbers = self._drawing.seed, self._drawing.numbers
        order: EpochwiseOrder = StreamOrder(shards.corpus, Mixture(), seed)
        if numbers is not None:
            order = TrainingOrder(shards.corpus, numbers, seed)
        return ScoredItems(PictureStream(config, sampler, (order, shards)), count, _BATCH)

    @property
    def count(self) -> int:
        """Return the number of pictures."""
        return sum(map(len, self._batches))

    @property
    def drawn_keys(self) -> list[str]:
        """Return the keys of the pictures that `reconstruct` returns."""
        return list(self._batches[0].keys[:_DRAWN])

    def _target(self, pictures_B3PP: Tensor) -> Tensor:
        target_BLP = to_patches(pictures_B3PP, self.config.patch_px)
        return normalize_patches(target_BLP) if self._norm_pix else target_BLP

    def _mean_target(self, train: PictureShards) -> Tensor:
        """Return the mean patch of each position, (L, P)."""
        return torch.cat([self._target(batch.normalized()) for batch in self._read(train, _MAX_PICTURES)]).mean(0)

    @torch.no_grad()
    def score(self, model: ImageMAE, mask_ratio: float) -> MaskedErrors:
        """Return the errors of a model, which must be in evaluation mode."""
        assert self._mean_LP is not None, "pictures without validation shards are drawn and not scored"
        mean_LP = self._mean_LP.to(self.device)
        sums, hidden = torch.zeros(3, dtype=torch.float64), 0.0
        for stored in self._batches:
            batch = stored.to(self.device)
            masked = model(batch.normalized(), batch.order_BL, mask_ratio)
            target_BLP = self._target(batch.normalized())
            for number, predicted in enumerate((masked.prediction_BLP.float(), mean_LP.mean(0), mean_LP)):
                error_BL = (predicted - target_BLP).square().mean(-1)
                sums[number] += float((error_BL * masked.mask_BL).sum())
            hidden += float(masked.mask_BL.sum())
        model_error, patch_error, image_error = (sums / hidden).tolist()
        return MaskedErrors(model=model_error, mean_patch=patch_error, mean_image=image_error)

    @torch.no_grad()
    def reconstruct(self, model: ImageMAE, mask_ratio: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return a few pictures, what the model saw of them, and what it made of that, each (N, 3, P, P) in 0..1."""
        batch = self._batches[0].to(self.device)
        pictures_N3PP = batch.normalized()[:_DRAWN]
        masked: MaskedPictures = model(pictures_N3PP, batch.order_BL[:_DRAWN], mask_ratio)
        patches_NLP, hidden_NL1 = to_patches(pictures_N3PP, self.config.patch_px), masked.mask_BL[..., None]
        predicted_NLP = masked.prediction_BLP.float()
        if self._norm_pix:  # the model does not predict brightness and contrast of a patch: the true ones are drawn
            deviation_NL1, mean_NL1 = patches_NLP.std(-1, keepdim=True), patches_NLP.mean(-1, keepdim=True)
            predicted_NLP = predicted_NLP * deviation_NL1 + mean_NL1
        seen_NLP = patches_NLP * (1 - hidden_NL1)
        columns = (patches_NLP, seen_NLP, seen_NLP + predicted_NLP * hidden_NL1)
        original, seen, reconstruction = (_to_pixels(from_patches(each, self.config.patch_px)) for each in columns)
        return original, seen, reconstruction


def _to_pixels(pictures_N3PP: Tensor) -> Tensor:
    mean, std = (pictures_N3PP.new_tensor(values).view(3, 1, 1) for values in (IMAGE_MEAN, IMAGE_STD))
    return (pictures_N3PP * std + mean).clamp(0, 1).cpu()


def make_picture_callback(
    model: ImageMAE, mask_ratio: float, pictures: ValidationPictures | None, *, scored: bool, out: Path, draws: bool
) -> EvalCallback:
    """Return the function that a run calls every `eval_every` steps.

    Args:
        model: that is trained; it returns to training mode.
        mask_ratio: as in training.
        pictures: to evaluate; None on a rank that does not evaluate.
        scored: whether `pictures` are of validation; those of training are only drawn.
        out: folder of the run.
        draws: whether this rank writes RUN/reconstructions/step-00000100.png.
    """

    def evaluate(step: int) -> tuple[dict[str, float], Path | None]:
        if pictures is None:
            return {}, None
        model.eval()
        with torch.compiler.set_stance("force_eager"):  # batches of other shapes, too rare to compile for
            scores = pictures.score(model, mask_ratio).ratios() if scored else {}
            columns = pictures.reconstruct(model, mask_ratio)
        model.train()
        if not draws:
            return scores, None
        path = out / RECONSTRUCTIONS / f"step-{step + 1:08d}.png"
        path.parent.mkdir(exist_ok=True)
        draw_pictures(path, columns, f"step {step + 1}")
        return scores, path

    return evaluate


def draw_pictures(path: Path, columns: Sequence[Tensor], title: str) -> None:
    """Draw pictures, what the model saw and what it made of it, a row for each."""
    pyplot = load_pyplot()
    rows = len(columns[0])
    figure, axes = pyplot.subplots(rows, 3, figsize=(WIDTH_IN, WIDTH_IN / 3 * rows + 0.5), squeeze=False)
    for column, (name, pictures_N3PP) in enumerate(zip(("picture", "seen", "reconstructed"), columns, strict=True)):
        axes[0][column].set_title(name)
        for row, picture_3PP in enumerate(pictures_N3PP):
            axes[row][column].imshow(picture_3PP.permute(1, 2, 0).numpy())
            axes[row][column].axis("off")
    figure.suptitle(title, x=0.02, ha="left")
    save_figure(figure, path, path.suffix)
    pyplot.close(figure)
