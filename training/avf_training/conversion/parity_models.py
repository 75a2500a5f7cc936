"""A model built from an oracle file's own config and weights, and the numbers that file holds, computed by it."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from avf_shards.errors import UserError
from torch import Tensor, nn

from avf_training.conversion.authors_state_dict import authors_names, from_authors_names, to_authors_names
from avf_training.conversion.gradient_scale import GradientScale
from avf_training.models.classifier import Classifier
from avf_training.models.config import Geometry, ModalityConfig, ModelConfig, TargetConfig
from avf_training.models.decoder import SkipDecoder
from avf_training.models.encoder import Encoder
from avf_training.models.mae import MaskedAutoencoder, required_layers
from avf_training.models.mask_sampling import MaskConfig, Masker
from avf_training.models.masks import Masks
from avf_training.models.pretrained import load_strict
from avf_training.objectives.hcmcl import cosine_similarity
from avf_training.objectives.pretraining_loss import pretraining_losses
from avf_training.objectives.targets import audio_targets, video_targets

Oracle = Mapping[str, npt.NDArray[Any]]
Config = Mapping[str, Any]


def model_config(config: Config, weights: Collection[str]) -> ModelConfig:
    """Return the model config for the authors' arguments. The names of the weights tell which blocks the model has.

    Raises UserError for an argument that our models do not have.
    """
    prefix = "encoder_" if "decoder_embed_dim" in config else ""
    if not config.get("qkv_bias", True):
        raise UserError("meta.config: qkv_bias is off; the published models have it")
    improved, vanilla, iavcl = (
        any(part in name for name in weights)
        for part in (".fourth_attn.", ".third_attn.", "Iterative_Refinement_Module")
    )
    mel_frames, mels = config["img_size_audio"]
    geometry = Geometry(
        frames=config.get("all_frames", 16),
        size_px=config["img_size"],
        tube_frames=config["tubelet_size"],
        patch_px=config["patch_size"],
        mel_frames=mel_frames,
        mels=mels,
        mel_patch=config["patch_size_audio"],
    )

    def stream(suffix: str) -> ModalityConfig:
        width = config[f"{prefix}embed_dim{suffix}"]
        return ModalityConfig(
            width=width,
            depth=config[f"{prefix}depth{suffix}"],
            heads=config[f"{prefix}num_heads{suffix}"],
            decoder_width=config.get(f"decoder_embed_dim{suffix}", width),
            decoder_heads=config.get(f"decoder_num_heads{suffix}", 1),
            region=tuple(config.get(f"lg_region_size{suffix}", ())),
            decoder_depth=config.get(f"decoder_depth{suffix}", 4),
        )

    return ModelConfig(
        name=str(config.get("source", "oracle")),
        video=stream(""),
        audio=stream("_audio"),
        encoder="lgi" if improved else "lgi_vanilla" if vanilla else "vit",
        fusion="iavcl" if iavcl else "cross",
        fusion_heads=config[f"{prefix}fusion_num_heads"],
        skips=tuple(config.get("return_intermediate_features", ())),
        fusion_depth=config[f"{prefix}fusion_depth"],
        mlp_ratio=int(config["mlp_ratio"]),
        norm_eps=config["norm_eps"],
        temperature=config.get("inter_contrastive_temperature", 0.07),
        contrastive_weight=config.get("loss_weight", 0.0025),
        geometry=geometry,
        batch_norm_statistics="shared",
    )


def load(model: nn.Module, oracle: Oracle, dtype: torch.dtype, prefix: str = "w.") -> dict[str, tuple[str, ...]]:
    """Load the file's weights, all of them and nothing else, and return the authors' names. Raises UserError."""
    model.to(dtype)
    names = authors_names(model)
    weights = {name[len(prefix) :]: _tensor(array) for name, array in oracle.items() if name.startswith(prefix)}
    unknown = weights.keys() - {part for parts in names.values() for part in parts}
    if unknown:
        raise UserError("weights of the file that the model does not have:\n  " + "\n  ".join(sorted(unknown)))
    load_strict(model, from_authors_names(weights, names), "the file's weights")
    return names


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(array))


def _gradients(model: nn.Module, names: Mapping[str, tuple[str, ...]]) -> dict[str, Tensor]:
    """Return gradients by the authors' names; zeros for a parameter without one, as the authors' files store them."""
    ours = {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in model.named_parameters()
    }
    return {f"grad.{name}": grad for name, grad in to_authors_names(ours, {k: names[k] for k in ours}).items()}


def _modes(oracle: Oracle) -> list[str]:
    """Return the modes in the file. Losses and gradients come from the last: train, where batch norm matters."""
    return [mode for mode in ("eval", "train") if any(name.startswith(f"out.{mode}.") for name in oracle)]


def mae_numbers(oracle: Oracle, settings: Config, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the numbers of pre-training: outputs, features, similarities, targets, losses, gradients, statistics."""
    config = model_config(settings, oracle.keys())
    model = MaskedAutoencoder(config)
    names = load(model, oracle, dtype)
    model.requires_grad_()
    scale = GradientScale(model)
    video, audio = _tensor(oracle["in.video"]).to(dtype), _tensor(oracle["in.audio"]).to(dtype)
    masks = _masks(oracle, config, dtype)
    numbers: dict[str, Tensor] = {}
    for mode in _modes(oracle):
        model.train(mode == "train")
        out = model(video, audio, masks)
        assert out.video_BMP is not None
        assert out.audio_BMP is not None
        numbers |= {f"out.{mode}.pred_video": out.video_BMP, f"out.{mode}.pred_audio": out.audio_BMP}
        for number, (v, a) in enumerate(out.levels):
            numbers[f"out.{mode}.logits_per_video.{number}"] = cosine_similarity(v, a, config.temperature)
        numbers |= {f"out.{mode}.{name}": value for name, value in _features(model, video, audio, masks).items()}
    targets = {kind: TargetConfig(frame_difference=kind == "framediff") for kind in ("plain", "framediff")}
    losses = {
        kind: pretraining_losses(out, video, audio, masks, replace(config, targets=target))
        for kind, target in targets.items()
    }
    for kind, loss in losses.items():
        assert loss.video is not None
        assert loss.audio is not None
        parts = {"total": loss.total, "video": loss.video, "audio": loss.audio}
        numbers |= {f"loss.{kind}.{name}": value for name, value in parts.items()}
        numbers[f"loss.{kind}.hcmcl_per_level"] = torch.stack(loss.levels)
        stored = len(oracle.get(f"target.{kind}.video", ()))
        everything = torch.arange(config.geometry.video_tokens).expand(stored, -1)
        if stored:
            target = video_targets(video[:stored], everything, config.geometry, targets[kind])
            numbers[f"target.{kind}.video"] = target
    everything = torch.arange(config.geometry.audio_tokens).expand(len(audio), -1)
    numbers["target.audio"] = audio_targets(audio, everything, config.geometry)
    losses["framediff"].total.backward()
    state = to_authors_names(model.state_dict(), names)
    numbers |= {f"bn_after.{name}": value for name, value in state.items()}
    return _in_file(oracle, numbers | _gradients(model, names)) | scale.number()


def _masks(oracle: Oracle, config: ModelConfig, dtype: torch.dtype) -> Masks:
    hidden = oracle["in.mask_video"], oracle["in.mask_audio"]
    decoded = tuple(
        ~oracle[f"in.mask_{name}_dec"] if f"in.mask_{name}_dec" in oracle else mask
        for name, mask in zip(("video", "audio"), hidden, strict=True)
    )
    ratios = MaskConfig(
        video_ratio=float(hidden[0][0].mean()),
        audio_ratio=float(hidden[1][0].mean()),
        decoder_ratio=0,
        region_mask="authors_code",
    )
    masker = Masker(config, ratios)
    masks = Masks.stack([masker.from_flags(*clip) for clip in zip(*hidden, *decoded, strict=True)])
    return Masks(*(part.to(dtype) if part.is_floating_point() else part for part in masks))


def _features(model: MaskedAutoencoder, video: Tensor, audio: Tensor, masks: Masks) -> dict[str, Tensor]:
    config, numbers = model.config, {}
    for name, encoder, clips, visible_BV, stream in (
        ("video", model.encoder_video, video, masks.video_visible_BV, config.video),
        ("audio", model.encoder_audio, audio, masks.audio_visible_BV, config.audio),
    ):
        layers = encoder(clips, visible_BV, required_layers(config, stream)).layers
        numbers[f"enc_{name}"] = layers[-1]
        numbers |= {f"enc_{name}_inter.{n}": layer for n, layer in enumerate(layers[: len(config.skips)])}
    return numbers


def classifier_numbers(oracle: Oracle, settings: Config, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the numbers of fine-tuning: logits, feature, cross-entropy, gradients."""
    model = Classifier(model_config(settings, oracle.keys()), settings["num_classes"])
    names = load(model, oracle, dtype)
    scale = GradientScale(model)
    video, audio = _tensor(oracle["in.video"]).to(dtype), _tensor(oracle["in.audio"]).to(dtype)
    numbers: dict[str, Tensor] = {}
    for mode in _modes(oracle):
        model.train(mode == "train")
        out = model(video, audio)
        numbers |= {f"out.{mode}.logits": out.logits_BJ, f"out.{mode}.feature": out.feature_BC}
    numbers["loss.ce"] = F.cross_entropy(out.logits_BJ, _tensor(oracle["in.label"]))
    numbers["loss.ce"].backward()
    return _in_file(oracle, numbers | _gradients(model, names)) | scale.number()


def _in_file(oracle: Oracle, numbers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the numbers that the file has, which may be a part of them."""
    return {name: value for name, value in numbers.items() if name in oracle}


class _MAEDFER(nn.Module):
    """MAE-DFER: one LGI encoder of three stages, a decoder without skips."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.encoder_video = Encoder(config, "video", "local")
        geometry = config.geometry
        self.decoder_video = SkipDecoder(config, config.video, geometry.video_tokens, geometry.video_values)


class _MAEDFERHead(nn.Module):
    """MAE-DFER in fine-tuning: a head over the mean of the last layer's region tokens, without the encoder's norm."""

    def __init__(self, config: ModelConfig, classes: int) -> None:
        super().__init__()
        self.encoder_video = Encoder(config, "video", "region")
        self.encoder_video.norm = nn.Identity()  # the head has its own
        self.fc_norm = nn.LayerNorm(config.video.width, config.norm_eps)
        self.head = nn.Linear(config.video.width, classes)


def mae_dfer_numbers(oracle: Oracle, settings: Config, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the numbers of MAE-DFER, which has video alone: predictions and logits."""
    stream = ModalityConfig(
        width=settings["C"],
        depth=settings["depth"],
        heads=settings["heads"],
        decoder_width=settings["dec_dim"],
        decoder_heads=settings["dec_heads"],
        region=tuple(settings["region"]),
        decoder_depth=settings["dec_depth"],
    )
    # The model has no audio; any grid and mask that can be built will do.
    config = ModelConfig(
        name="mae_dfer",
        video=stream,
        audio=replace(stream, region=(4, 4)),
        encoder="lgi_vanilla",
        fusion="cross",
        fusion_heads=1,
        skips=(),
        modalities="v",
        norm_eps=settings["norm_eps"],
        geometry=Geometry(frames=16, size_px=settings["img"], tube_frames=2, patch_px=settings["patch"]),
    )
    video, hidden = _tensor(oracle["in.video"]).to(dtype), oracle["in.mask"]
    model, last = _MAEDFER(config), (stream.depth - 1,)
    load(model, oracle, dtype, "pt.w.")
    masker = Masker(
        config,
        MaskConfig(video_ratio=float(hidden[0].mean()), audio_ratio=0.5, decoder_ratio=0, region_mask="authors_code"),
    )
    silent = np.arange(config.geometry.audio_tokens) % 2 == 0
    clips = [masker.from_flags(mask, silent, mask, silent).video for mask in hidden]
    visible, position, target = (
        _tensor(np.stack([getattr(clip, part) for clip in clips])) for part in ("visible_V", "position_V", "target_M")
    )
    (local,) = model.encoder_video(video, visible, last).layers
    numbers = {"pt.out": model.decoder_video(local, [], position, target)}
    head = _MAEDFERHead(config, settings["classes"])
    weights = {f"ft.w.{_to_our_name(name[5:])}": array for name, array in oracle.items() if name.startswith("ft.w.")}
    load(head, weights, dtype, "ft.w.")
    regions = head.encoder_video(video, None, last).regions
    numbers["ft.out"] = head.head(head.fc_norm(regions.mean(1)))
    return numbers


def _to_our_name(name: str) -> str:
    return name if name.startswith(("fc_norm", "head")) else f"encoder.{name}"
