"""Models have exact sizes and gradients everywhere, and options that save time do not change the outputs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from avf_training.conversion.convert import convert_state_dict, convert_to_authors, read_authors_checkpoint
from avf_training.finetuning.initialization import load_start
from avf_training.models.classifier import Classifier
from avf_training.models.config import ModelConfig, Precision
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.presets import PRESETS, preset
from avf_training.objectives.pretraining_loss import pretraining_losses
from support.models import random_batch, random_masks, tiny_config
from torch import nn

# Parameters by the arithmetic of the papers and the authors' training logs: fine-tuning with 11 classes, pre-training.
COUNTS = {
    "hicmae_t": (20_478_495, 22_746_368),  # the pre-training decoder is our choice
    "hicmae_s": (45_659_935, 50_584_576),
    "hicmae_b": (80_802_847, 99_609_344),
    "avfmaepp_b": (169_122_851, 187_942_660),
    "avfmaepp_l": (303_233_319, 336_322_308),
    "avfmaepp_h": (521_309_229, 572_665_092),
    "table20_vanilla_lgi": (None, 141_683_456),
    "table20_improved_lgi": (None, 162_726_656),
}
KINDS = [("vit", "cross"), ("lgi", "iavcl"), ("lgi", "cross"), ("lgi_vanilla", "cross")]


def parameter_count(build: Callable[[], nn.Module]) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build().parameters())


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_are_exact(name: str) -> None:
    config, (finetune, pretrain) = PRESETS[name], COUNTS[name]
    assert parameter_count(lambda: MaskedAutoencoder(config)) == pretrain
    if finetune is not None:
        assert parameter_count(lambda: Classifier(config, 11)) == finetune


def test_the_huge_model_has_the_parameter_count_of_the_authors_log() -> None:
    assert parameter_count(lambda: Classifier(PRESETS["avfmaepp_h"], 4)) == 521_298_470


def losses_of(model: MaskedAutoencoder, config: ModelConfig, clips: int = 2) -> torch.Tensor:
    video, audio = random_batch(config, clips)
    masks = random_masks(config, clips)
    return pretraining_losses(model(video, audio, masks), video, audio, masks, config).total


@pytest.mark.parametrize(("encoder", "fusion"), KINDS)
@pytest.mark.parametrize("modalities", ["av", "a", "v"])
def test_pretraining_reaches_every_parameter(encoder: str, fusion: str, modalities: str) -> None:
    config = tiny_config(encoder, fusion, modalities)
    model = MaskedAutoencoder(config).train()
    losses_of(model, config).backward()
    without = {name for name, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert not without
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert all(".blocks.3.gather_" in name for name in frozen)
    assert bool(frozen) == (encoder == "lgi")


def test_the_literal_context_trains_parameters_that_the_pooled_context_does_not() -> None:
    """With one context token HAFE's queries get exactly no gradient; with region tokens they and stage IV learn."""
    quiet = {}
    for overall in ("pooled", "region"):
        config = tiny_config(fusion_context=overall)
        torch.manual_seed(0)
        model = MaskedAutoencoder(config).train()
        losses_of(model, config, 4).backward()
        grads = {name: p.grad for name, p in model.named_parameters()}
        quiet[overall] = {name for name, grad in grads.items() if grad is None or grad.abs().max() < 1e-9}
    assert {"fusion.hafe.cross_attn.q.weight", "encoder_video.blocks.3.gather_attn.q.weight"} <= quiet["pooled"]
    assert quiet["region"] == set()


@pytest.mark.parametrize(("encoder", "fusion"), KINDS)
@pytest.mark.parametrize("modalities", ["av", "a", "v"])
def test_finetuning_reaches_every_parameter(encoder: str, fusion: str, modalities: str) -> None:
    config = tiny_config(encoder, fusion, modalities)
    model = Classifier(config, 5, drop_path=0.1).train()
    logits, feature = model(*random_batch(config))
    assert logits.shape == (2, 5)
    width = {"av": 128 if fusion == "cross" else 64}.get(modalities, 32)
    assert feature.shape == (2, width)
    (logits * torch.randn_like(logits)).sum().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]


@pytest.mark.parametrize(("encoder", "fusion"), KINDS)
def test_recomputed_activations_change_nothing(encoder: str, fusion: str) -> None:
    config = tiny_config(encoder, fusion)
    gradients = []
    for on in (False, True):
        torch.manual_seed(0)
        model = MaskedAutoencoder(config).double().train()
        model.checkpoint_activations(on)
        video, audio = (x.double() for x in random_batch(config))
        masks = random_masks(config)
        pretraining_losses(model(video, audio, masks), video, audio, masks, config).total.backward()
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("encoder", "fusion"), [("vit", "cross"), pytest.param("lgi", "iavcl", marks=pytest.mark.slow)]
)
def test_the_compiler_finds_no_graph_break(encoder: str, fusion: str) -> None:
    base = tiny_config(encoder, fusion, skips=())
    video, audio = (replace(stream, depth=2, decoder_depth=2) for stream in (base.video, base.audio))
    config = replace(base, video=video, audio=audio, skips=(1,), fusion_depth=1)
    for model, inputs, precision in (
        (MaskedAutoencoder(config).train(), (*random_batch(config), random_masks(config)), Precision(compute="bf16")),
        (Classifier(config, 3, drop_path=0.1).train(), random_batch(config), Precision(compute="fp32")),
    ):
        torch.compiler.reset()
        torch._dynamo.utils.counters.clear()
        with precision.autocast("cpu"):
            torch.compile(model, backend="eager")(*inputs)
        assert sum(torch._dynamo.utils.counters["graph_break"].values()) == 0
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_the_decoder_stays_in_single_precision() -> None:
    config = tiny_config()
    dtypes = {}

    def note(name: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        return lambda module, inputs, out: dtypes.__setitem__(name, out.dtype)

    for paper in (True, False):
        model = MaskedAutoencoder(config, fp32_decoder=paper).train()
        model.encoder_video.blocks[0].mlp.fc1.register_forward_hook(note("encoder"))
        model.decoder_video.blocks[0].mlp.fc1.register_forward_hook(note("decoder"))
        with Precision(compute="bf16", fp32_decoder=paper).autocast("cpu"):
            out = model(*random_batch(config), random_masks(config))
        assert dtypes == {"encoder": torch.bfloat16, "decoder": torch.float32 if paper else torch.bfloat16}
        assert out.levels[0][0].dtype == torch.float32
        video, audio = random_batch(config)
        loss = pretraining_losses(out, video, audio, random_masks(config), config).total
        assert loss.dtype == torch.float32
        loss.backward()


@pytest.mark.parametrize("compute", ["fp16", "bf16"])
def test_half_precision_outputs_are_close_to_single_precision(compute: str) -> None:
    config = tiny_config()
    model, inputs, masks = MaskedAutoencoder(config).eval(), random_batch(config), random_masks(config)
    with torch.no_grad():
        exact = model(*inputs, masks).video_BMP
        with Precision(compute=compute).autocast("cpu"):
            narrow = model(*inputs, masks).video_BMP
    assert narrow.dtype == torch.float32
    assert (narrow - exact).abs().max() < 0.1
    assert not torch.equal(narrow, exact)


def test_the_order_of_tokens_inside_a_region_does_not_matter() -> None:
    """Visible tokens in another order inside their regions give the same reconstruction."""
    config = tiny_config()
    model, inputs, masks = MaskedAutoencoder(config).eval(), random_batch(config), random_masks(config)
    turned = masks.video_visible_BV.unflatten(1, (8, 10)).flip(2).flatten(1)
    other = masks._replace(video_visible_BV=turned, video_position_BV=turned)
    with torch.no_grad():
        torch.testing.assert_close(model(*inputs, masks).video_BMP, model(*inputs, other).video_BMP)


# -- bad input


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda v, a: (v[:, :, :15], a), ["video", "15", "16"]),
        (lambda v, a: (v[..., :39], a), ["video", "39", "40"]),
        (lambda v, a: (v.to(torch.uint8), a), ["video", "uint8", "float"]),
        (lambda v, a: (v, a[..., :31]), ["audio", "31", "32"]),
        (lambda v, a: (v, a[:1]), ["audio", "1 clip ", "2"]),
        (lambda v, a: (v, None), ["audio", "missing", "'v'"]),
        (lambda v, a: (None, a), ["video", "missing", "'a'"]),
    ],
)
def test_a_batch_of_the_wrong_shape_names_the_tensor(
    change: Callable[..., tuple[object, ...]], names: list[str]
) -> None:
    config = tiny_config()
    inputs = change(*random_batch(config))
    for call in (
        lambda: MaskedAutoencoder(config)(*inputs, random_masks(config)),
        lambda: Classifier(config, 3)(*inputs),
    ):
        with pytest.raises(ValueError, match=r"video|audio") as caught:
            call()
        assert all(name in str(caught.value) for name in names), str(caught.value)


def test_an_unexpected_modality_is_named() -> None:
    with pytest.raises(ValueError, match="audio: given, but the model's modalities are 'v'"):
        Classifier(tiny_config(modalities="v"), 3)(*random_batch(tiny_config()))


def test_the_contrastive_loss_refuses_a_batch_of_a_single_clip() -> None:
    config = tiny_config("vit", "cross")
    with pytest.raises(ValueError, match=r"batch of 1.*at least 2"):
        losses_of(MaskedAutoencoder(config), config, 1)
    with pytest.raises(ValueError, match=r"batch of 1.*at least 2"):
        losses_of(MaskedAutoencoder(config).eval(), config, 1)
    with pytest.raises(ValueError, match=r"batch of 1.*at least 2"):
        MaskedAutoencoder(tiny_config()).train()(*random_batch(tiny_config(), 1), random_masks(tiny_config(), 1))
    MaskedAutoencoder(tiny_config()).eval()(
        *random_batch(tiny_config(), 1), random_masks(tiny_config(), 1)
    )  # a picture may be of one clip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fusion_heads": 5}, r"fusion_heads 5 does not divide the width 32; these do: \[1, 2, 4"),
        ({"skips": (1, 2, 4)}, "skips: 4 is no layer of video, whose layers are 0 to 3"),
        ({"skips": (2, 1)}, "must rise"),
        ({"skips": (0, 1, 2, 3), "encoder": "vit"}, None),
        ({"temperature": 0.0}, "temperature"),
        ({"fusion_context": "region", "encoder": "vit"}, "fusion_context 'region' needs"),
    ],
)
def test_an_invalid_config_is_refused_with_the_reason(changes: dict[str, object], message: str | None) -> None:
    if message is None:
        MaskedAutoencoder(tiny_config(**changes))
        return
    with pytest.raises(ValueError, match=message):
        tiny_config(**changes)


def test_invalid_modality_configs_are_refused_with_the_reason() -> None:
    base = tiny_config()
    for changes, message in (
        ({"video": replace(base.video, heads=3)}, "video.heads 3 does not divide the width 32"),
        ({"video": replace(base.video, decoder_heads=3)}, "video.decoder_heads 3 does not divide the width 16"),
        ({"video": replace(base.video, region=(2, 3, 10))}, r"video.region \[2, 3, 10\] does not divide"),
        ({"audio": replace(base.audio, width=64)}, "audio.width 64 differs from video.width 32"),
        ({"audio": replace(base.audio, region=(8, 8))}, "IAV-CL pairs them one to one"),
        ({"audio": replace(base.audio, decoder_depth=2)}, "decoder_depth 2 is too small for 3 skips"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(base, **changes)
    with pytest.raises(ValueError, match="size_px 41 is not a multiple of patch_px 4"):
        replace(base.geometry, size_px=41)


def test_statistics_per_unit_keep_evaluation_close_to_training(tmp_path: Path) -> None:
    """Each unit has running statistics of its own; one pair for both, as the authors have it, is of neither."""
    video, audio = random_batch(tiny_config(), 8)
    differences = {}
    for statistics in ("per_unit", "shared"):
        torch.manual_seed(0)
        model = Classifier(tiny_config(batch_norm_statistics=statistics), 3).train()
        with torch.no_grad():
            for _ in range(80):
                trained = model(video, audio).logits_BJ
            model.eval()
            differences[statistics] = float((model(video, audio).logits_BJ - trained).abs().max())
        model.save_pretrained(tmp_path / statistics)
        loaded = Classifier.from_pretrained(tmp_path / statistics)
        torch.testing.assert_close(loaded(video, audio).logits_BJ, model(video, audio).logits_BJ)
    assert 5 * differences["per_unit"] < differences["shared"], differences


@pytest.mark.slow
def test_running_statistics_are_exported_and_imported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Classifier(preset("avfmaepp_b"), 2).train()
    for unit, mean in enumerate((1.0, 3.0)):
        model.fusion.refinement.video.norm.running_mean[unit] = mean
    model.save_pretrained(tmp_path / "ours")
    convert_to_authors(tmp_path / "ours", tmp_path / "theirs.pth")
    imported = convert_state_dict(read_authors_checkpoint(tmp_path / "theirs.pth"))
    norm = {
        name.rpartition(".")[2]: tensor for name, tensor in imported.tensors.items() if ".video.norm.running" in name
    }
    assert imported.config.batch_norm_statistics == "shared"
    assert norm["running_mean"].unique().tolist() == [2.0]
    assert norm["running_var"].unique().tolist() == [2.0], "the variance inside units, and of their means"
    imported.save(tmp_path / "back")
    fresh = Classifier(preset("avfmaepp_b"), 2)
    assert load_start(fresh, tmp_path / "back") != []
    assert fresh.fusion.refinement.video.norm.running_mean.unique().tolist() == [2.0]
