"""The SUN team's networks of single pictures (P4 3.2.1): a backbone, an embedding of 256 values, and two heads.

Shapes: B pictures, C values of the backbone, E of the embedding, K expressions. Names of tensors are the authors' but
for HRNet-W32's (see `checkpoint_names`). Weights of a backbone come from a local file, never from a network.
"""

from typing import NamedTuple

from torch import Tensor, nn
from torchvision.models import efficientnet_b1, efficientnet_b4, vit_b_16

from avf_training.framewise.models.pose_backbone import BACKBONE_WIDTH, PoseBackbone
from avf_training.framewise.models.static_sizes import Backbone, PoseMaps, StaticNetConfig, ViTOutput

EMBEDDING_WIDTH, DROPOUT = 256, 0.1
IMAGENET_CLASSES = 1000


class StaticOutput(NamedTuple):
    """What a network says of pictures."""

    embedding_BE: Tensor  # -1..1; what tracks hold
    expressions_BK: Tensor | None  # logits
    valence_arousal_B2: Tensor


class StaticNet(nn.Module):
    """Backbone -> dropout -> linear map -> batch norm -> tanh (the embedding) -> heads."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        expressions: int = 8,  # K; 0: valence and arousal alone
        vit_output: ViTOutput = "cls",  # the authors' code keeps the old head of their ViT
        hrnet_maps: PoseMaps = "heatmaps13",  # what the blocks behind HRNet-W32 read
        bounded: bool = True,  # end valence and arousal in a tanh, as the paper says; the authors' code does not
    ) -> None:
        super().__init__()
        self.bounded = bounded
        self.backbone: Backbone = backbone
        self.model, width = _backbone(backbone, vit_output, hrnet_maps)
        self.dropout = nn.Dropout(DROPOUT)
        self.embeddings_layer = nn.Linear(width, EMBEDDING_WIDTH)
        self.batchnorm = nn.BatchNorm1d(EMBEDDING_WIDTH)
        self.classifier = nn.Linear(EMBEDDING_WIDTH, expressions) if expressions else None
        self.regression = nn.Linear(EMBEDDING_WIDTH, 2)

    @classmethod
    def from_config(cls, config: StaticNetConfig) -> "StaticNet":
        """Return a network with random weights. Raises UserError where timm is not installed for HRNet-W32."""
        return cls(
            config.backbone,
            expressions=config.classes,
            vit_output=config.vit_output,
            hrnet_maps=config.hrnet_maps,
            bounded=config.bounded,
        )

    def forward(self, pictures_B3HW: Tensor) -> StaticOutput:
        """Return the embedding, logits and values of normalized pictures."""
        embedding_BE = self.batchnorm(self.embeddings_layer(self.dropout(self.model(pictures_B3HW)))).tanh()
        affect_B2 = self.regression(embedding_BE)
        return StaticOutput(
            embedding_BE,
            None if self.classifier is None else self.classifier(embedding_BE),
            affect_B2.tanh() if self.bounded else affect_B2,
        )


def _backbone(name: Backbone, vit_output: ViTOutput, hrnet_maps: PoseMaps) -> tuple[nn.Module, int]:
    """Return a backbone with random weights and the values that it returns of a picture."""
    if name == "hrnet_w32":
        return PoseBackbone(hrnet_maps), BACKBONE_WIDTH
    if name == "vit_b_16":
        vit = vit_b_16(weights=None)
        if vit_output == "imagenet_logits":
            return vit, IMAGENET_CLASSES
        vit.heads = nn.Identity()
        return vit, vit.hidden_dim
    net = {"efficientnet_b1": efficientnet_b1, "efficientnet_b4": efficientnet_b4}[name](weights=None)
    width = int(net.classifier[-1].in_features)
    net.classifier = nn.Identity()
    return net, width
