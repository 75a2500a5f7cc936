"""The published models by name.

Sources: AVF-MAE++ Table 4; HiCMAE 4.1 and the sizes that its authors released; the rows of AVF-MAE++ Table 20, which
are HiCMAE-B with LGI-Former encoders and HiCMAE's fusion.
"""

from dataclasses import replace

from avf_shards.errors import UserError
from avf_shards.settings.config import describe_unknown_key

from avf_training.models.config import EncoderKind, FusionKind, Geometry, Modalities, ModalityConfig, ModelConfig

PAPER_GEOMETRY = Geometry()
VIDEO_REGION, AUDIO_REGION = (2, 5, 10), (4, 4)  # tokens (AVF-MAE++ Table 5)


def _stream(
    width: int, depth: int, heads: int, *, decoder: tuple[int, int], region: tuple[int, int, int] = VIDEO_REGION
) -> ModalityConfig:
    """Return the video side of a model. decoder: its width and heads."""
    return ModalityConfig(
        width=width, depth=depth, heads=heads, decoder_width=decoder[0], decoder_heads=decoder[1], region=region
    )


def _model(
    name: str,
    video: ModalityConfig,
    *,
    skips: tuple[int, ...],
    encoder: EncoderKind,
    fusion: FusionKind,
    geometry: Geometry = PAPER_GEOMETRY,
) -> ModelConfig:
    """Return a model whose audio side is its video side with a region of its own."""
    return ModelConfig(
        name=name,
        video=video,
        audio=replace(video, region=AUDIO_REGION),
        encoder=encoder,
        fusion=fusion,
        fusion_heads=video.heads,
        skips=skips,
        geometry=geometry,
    )


PRESETS: dict[str, ModelConfig] = {
    model.name: model
    for model in (
        # The decoder of HiCMAE-T is unpublished; half the encoder's width in two heads keeps S's proportion.
        _model("hicmae_t", _stream(256, 10, 4, decoder=(128, 2)), skips=(3, 6, 9), encoder="vit", fusion="cross"),
        _model("hicmae_s", _stream(384, 10, 6, decoder=(192, 3)), skips=(3, 6, 9), encoder="vit", fusion="cross"),
        _model("hicmae_b", _stream(512, 10, 8, decoder=(384, 6)), skips=(3, 6, 9), encoder="vit", fusion="cross"),
        _model("avfmaepp_b", _stream(512, 10, 8, decoder=(384, 6)), skips=(3, 6, 9), encoder="lgi", fusion="iavcl"),
        _model("avfmaepp_l", _stream(640, 12, 10, decoder=(512, 8)), skips=(3, 7, 11), encoder="lgi", fusion="iavcl"),
        _model("avfmaepp_h", _stream(768, 15, 12, decoder=(640, 8)), skips=(4, 9, 14), encoder="lgi", fusion="iavcl"),
        _model(
            "table20_vanilla_lgi",
            _stream(512, 10, 8, decoder=(384, 6)),
            skips=(3, 6, 9),
            encoder="lgi_vanilla",
            fusion="cross",
        ),
        _model(
            "table20_improved_lgi",
            _stream(512, 10, 8, decoder=(384, 6)),
            skips=(3, 6, 9),
            encoder="lgi",
            fusion="cross",
        ),
        _model(
            "nano",
            _stream(96, 4, 3, decoder=(64, 2), region=(1, 4, 4)),
            skips=(1, 2, 3),
            encoder="lgi",
            fusion="iavcl",
            geometry=Geometry(size_px=64),
        ),
    )
}


def preset(name: str, modalities: Modalities = "av") -> ModelConfig:
    """Return the model called `name`. Raises UserError with the most similar names."""
    if name not in PRESETS:
        raise UserError(describe_unknown_key(name, name, list(PRESETS), "model"))
    return replace(PRESETS[name], modalities=modalities)
