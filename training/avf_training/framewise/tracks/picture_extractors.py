"""Extractors that look at single face pictures: NetEase's ViT, and SUN's networks with an embedding of 256 values.

B pictures, D values.
"""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn

from avf_training.framewise.models.image_files import read_image_model
from avf_training.framewise.models.image_vit import ImageFeatureModel
from avf_training.framewise.models.pose_backbone import PoseBackbone
from avf_training.framewise.models.static_files import load_static_net
from avf_training.framewise.models.static_sizes import INPUT_PX, Backbone
from avf_training.framewise.tracks.extractor import FrameVectors, PictureFormat, digest_weights, every_frame
from avf_training.framewise.tracks.footage import PICTURE_PREPARATION, Footage
from avf_training.framewise.tracks.identity import ExtractorIdentity
from avf_training.models.pretrained import load_strict
from avf_training.trainer.run_folder import RUN
from avf_training.trainer.saved_model import start_model


class PictureExtractor:
    """A network of single pictures: a vector for each frame."""

    def __init__(
        self,
        model: nn.Module,
        feature: Callable[[Tensor], Tensor],  # of (B, 3, P, P), by the model
        size_px: int,  # P
        identity: ExtractorIdentity,
        device: torch.device,
    ) -> None:
        self.identity = identity
        self.picture_input = PictureFormat(size_px=size_px, device=device)
        self._model, self._feature = model.to(device).eval(), feature

    @torch.no_grad()
    def extract(self, footage: Footage) -> FrameVectors:
        """Return a vector for each frame."""
        vectors: list[Tensor] = []
        for pictures_B3PP in footage.pictures(self.picture_input.size_px, self.picture_input.device):
            vectors.append(self._feature(pictures_B3PP).float())
            if len(vectors) > 1:
                vectors[-2] = vectors[-2].cpu()  # a batch late: a GPU has its next batch before this process waits
        vectors[-1] = vectors[-1].cpu()
        return every_frame(torch.cat(vectors).numpy())


def load_vit(name: str, weights: Path, device: torch.device) -> PictureExtractor:
    """Return NetEase's extractor: a run or model of avf-train, or a checkpoint in MAE's names. Raises UserError."""
    weights = _model_in_run(weights)
    model_file = read_image_model(weights)
    config, tensors = model_file.config, model_file.encoder
    model = ImageFeatureModel(
        config,
        len(tensors["head.weight"]) if "head.weight" in tensors else 1,
        "mean" if "fc_norm.weight" in tensors else "cls",
    )
    state = model.state_dict()
    new = {key: state[key] for key in ("head.weight", "head.bias") if key not in tensors}  # not read by a feature
    load_strict(model, tensors | new, str(weights))
    settings: dict[str, str | int] = {
        "size_px": config.size_px,
        "heads": config.heads,
        "pooling": model.pooling,
        "picture_preparation": PICTURE_PREPARATION,
    }
    identity = ExtractorIdentity.from_settings(name, settings, digest_weights(weights))
    return PictureExtractor(model, model.features, config.size_px, identity, device)


def _model_in_run(weights: Path) -> Path:
    """Return the folder of a run's model, and any other path as it is."""
    return start_model(weights) if (weights / RUN).is_file() else weights


def load_static(name: str, weights: Path, device: torch.device) -> PictureExtractor:
    """Return the embedding of one of SUN's networks: a run or model of avf-train, or the authors' file.

    Raises UserError.
    """
    backbone: Backbone = next(each for each in get_args(Backbone) if each == name)
    weights = _model_in_run(weights)
    model, config = load_static_net(backbone, weights)
    size_px = INPUT_PX[backbone] if config is None else config.size_px
    settings: dict[str, str | int] = {"size_px": size_px, "picture_preparation": PICTURE_PREPARATION}
    if isinstance(model.model, PoseBackbone):
        settings["maps"] = model.model.maps
    identity = ExtractorIdentity.from_settings(name, settings, digest_weights(weights))
    return PictureExtractor(model, lambda pictures: model(pictures).embedding_BE, size_px, identity, device)
