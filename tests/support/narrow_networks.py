"""Networks of SUN's kinds that are narrow: the same layers, and steps of milliseconds."""

from torchvision.models import EfficientNet
from torchvision.models.efficientnet import MBConvConfig

CHANNELS = (8, 8, 8, 16, 16, 24, 24, 32)  # before and behind each of the seven stages


def narrow_efficientnet(weights: None) -> EfficientNet:
    """Return EfficientNet with all its stages, each of one narrow block."""
    stages = [
        MBConvConfig(2, 3, stride, before, behind, 1)
        for stride, before, behind in zip((1, 2, 2, 2, 1, 2, 1), CHANNELS, CHANNELS[1:], strict=False)
    ]
    return EfficientNet(stages, dropout=0.2, last_channel=128)
