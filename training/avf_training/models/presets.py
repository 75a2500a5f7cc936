"""The published models by name.

AVF-MAE++: its paper's Table 4. HiCMAE: its section 4.1 and the authors' released sizes. Table 20's rows: HiCMAE B with
LGI-Former encoders under HiCMAE's fusion.
"""

from dataclasses import replace

from avf_shards.config import unknown_key
from avf_shards.errors import UserError

from avf_training.models.config import EncoderKind, FusionKind, Geometry, Modalities, ModalityConfig, ModelConfig

PAPERS, VIDEO_REGION, AUDIO_REGION = Geometry(), (2, 5, 10), (4, 4)


def _model(
    name: str,
    size: tuple[int, int, int],
    decoder: tuple[int, int],
    skips: tuple[int, ...],
    encoder: EncoderKind,
    fusion: FusionKind,
    geometry: Geometry = PAPERS,
    region: tuple[int, int, int] = VIDEO_REGION,
) -> ModelConfig:
    width, depth, heads = size
    decoder_width, decoder_heads = decoder
    video = ModalityConfig(
        width=width, depth=depth, heads=heads, decoder_width=decoder_width, decoder_heads=decoder_heads, region=region
    )
    audio = replace(video, region=AUDIO_REGION)
    return ModelConfig(
        name=name,
        video=video,
        audio=audio,
        encoder=encoder,
        fusion=fusion,
        fusion_heads=heads,
        skips=skips,
        geometry=geometry,
    )


PRESETS: dict[str, ModelConfig] = {
    model.name: model
    for model in (
        # The decoder of HiCMAE-T is unpublished; half the encoder's width in two heads keeps S's proportion.
        _model("hicmae_t", (256, 10, 4), (128, 2), (3, 6, 9), "vit", "cross"),
        _model("hicmae_s", (384, 10, 6), (192, 3), (3, 6, 9), "vit", "cross"),
        _model("hicmae_b", (512, 10, 8), (384, 6), (3, 6, 9), "vit", "cross"),
        _model("avfmaepp_b", (512, 10, 8), (384, 6), (3, 6, 9), "lgi", "iavcl"),
        _model("avfmaepp_l", (640, 12, 10), (512, 8), (3, 7, 11), "lgi", "iavcl"),
        _model("avfmaepp_h", (768, 15, 12), (640, 8), (4, 9, 14), "lgi", "iavcl"),
        _model("table20_vanilla_lgi", (512, 10, 8), (384, 6), (3, 6, 9), "lgi_vanilla", "cross"),
        _model("table20_improved_lgi", (512, 10, 8), (384, 6), (3, 6, 9), "lgi", "cross"),
        _model("nano", (96, 4, 3), (64, 2), (1, 2, 3), "lgi", "iavcl", Geometry(size_px=64), (1, 4, 4)),
    )
}


def preset(name: str, modalities: Modalities = "av") -> ModelConfig:
    """The model called `name`. Raises UserError with the nearest name."""
    if name not in PRESETS:
        raise UserError(unknown_key(name, name, list(PRESETS), "model"))
    return replace(PRESETS[name], modalities=modalities)
