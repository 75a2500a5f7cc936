"""Sizes of the Vision Transformers of single pictures. Without torch, so that a recipe is read quickly."""

from dataclasses import dataclass

from avf_shards.settings.config import refuse


@dataclass(frozen=True, kw_only=True)
class ImageViTConfig:
    """Sizes of an encoder and of its masked autoencoder's decoder."""

    width: int  # values of a token (C)
    depth: int  # blocks
    heads: int  # of attention
    patch_px: int = 16  # height and width of a patch
    size_px: int = 224  # height and width of a picture
    decoder_width: int = 512  # values of a token in the decoder
    decoder_depth: int = 8  # blocks of the decoder
    decoder_heads: int = 16  # of attention in the decoder

    def __post_init__(self) -> None:
        counts = ("width", "depth", "heads", "patch_px", "size_px", "decoder_width", "decoder_depth", "decoder_heads")
        # A table of positions has sines and cosines of two axes, so that widths are multiples of 4.
        multiples = (
            ("size_px", self.size_px, self.patch_px),
            *(("width", self.width, step) for step in (4, self.heads)),
            *(("decoder_width", self.decoder_width, step) for step in (4, self.decoder_heads)),
        )
        refuse(
            *((getattr(self, name) < 1, f"{name} {getattr(self, name)} must be at least 1") for name in counts),
            *(
                (step > 0 and size % step > 0, f"{name} {size} must be a multiple of {step}")
                for name, size, step in multiples
            ),
        )

    @property
    def grid(self) -> int:
        """Return the patches along each side of a picture."""
        return self.size_px // self.patch_px

    @property
    def patch_values(self) -> int:
        """Return the values of a patch, all channels."""
        return 3 * self.patch_px**2


IMAGE_PRESETS = {
    "b": ImageViTConfig(width=768, depth=12, heads=12),
    "l": ImageViTConfig(width=1024, depth=24, heads=16),
    "h": ImageViTConfig(width=1280, depth=32, heads=16, patch_px=14),
    "tiny": ImageViTConfig(
        width=96, depth=3, heads=4, patch_px=16, size_px=64, decoder_width=64, decoder_depth=1, decoder_heads=4
    ),
    "small": ImageViTConfig(
        width=96, depth=4, heads=4, patch_px=8, size_px=64, decoder_width=48, decoder_depth=2, decoder_heads=4
    ),
}
"""ViT-B/16, ViT-L/16 and ViT-H/14, and two for two cores: in minutes, and in an hour."""
