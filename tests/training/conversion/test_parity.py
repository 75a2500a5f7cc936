"""Outputs are equal to those of the authors' code, and a single wrong value is reported."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from avf_training.cli.main import main
from avf_training.conversion.gradient_scale import GRADIENT_SCALE, GradientScale
from avf_training.conversion.parity import SINGLE, STORED_F64, compare_with_oracle
from avf_training.conversion.parity_models import mae_numbers
from avf_training.models.batch_norm import UnitBatchNorm

SHIPPED = Path(__file__).parents[2] / "data/oracles"
MODELS = ("hicmae_pretrain_tiny", "hicmae_finetune_tiny", "avfmaepp_pretrain_tiny", "avfmaepp_finetune_tiny")


@pytest.fixture(scope="module")
def complete(shared: Path) -> Path:
    folder = shared / "oracles"
    if not folder.is_dir():
        pytest.skip(
            "the complete numbers (../shared/oracles) are not here: all gradients and predictions of five models"
        )
    return folder


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*.npz")))
def test_shipped_outputs_equal_those_of_the_authors_code(name: str) -> None:
    check_all_numbers(SHIPPED / f"{name}.npz")


def test_the_shipped_numbers_are_small_and_of_both_models() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 5_000_000
    assert {"avfmaepp_pretrain_tiny", "hicmae_finetune_tiny"} <= {path.stem for path in SHIPPED.glob("*.npz")}


@pytest.mark.real
@pytest.mark.parametrize("name", [*MODELS, "maedfer_lgi_tiny", "masks", "fbank", "sincos"])
def test_outputs_equal_those_of_the_authors_code(complete: Path, name: str) -> None:
    check_all_numbers(complete / f"{name}.npz")


def check_all_numbers(path: Path) -> None:
    """Check that every number of a file is compared and within its tolerance."""
    rows = compare_with_oracle(path)
    assert not [row for row in rows if not row.passed]
    if path.stem in MODELS:
        groups = {row.group for row in rows}
        assert {"losses", "gradients"} <= groups
        assert {row.precision for row in rows} == {"float64", "float32"}
        with np.load(path) as archive:
            results = [n for n in archive.files if n.startswith(("out.", "loss.", "grad.", "target.", "bn_after."))]
            numbers = sum(archive[n].size for n in results)
        assert sum(row.numbers for row in rows if row.precision == "float64") == numbers, "every number was compared"


def test_a_single_wrong_value_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(SHIPPED / "hicmae_finetune_tiny.npz") as archive:
        changed = {name: archive[name] for name in archive.files}
    changed["grad.encoder_audio.blocks.2.mlp.fc2.bias"] = changed["grad.encoder_audio.blocks.2.mlp.fc2.bias"].copy()
    changed["grad.encoder_audio.blocks.2.mlp.fc2.bias"][3] += 1e-5
    np.savez(tmp_path / "off.npz", **changed)
    page = tmp_path / "parity.md"
    assert main(["parity", str(tmp_path / "off.npz"), "--page", str(page)]) == 1
    output = capsys.readouterr().out
    assert "OFF: off.npz, float64, gradients: grad.encoder_audio.blocks.2.mlp.fc2.bias" in output
    assert "OFF at `grad.encoder_audio.blocks.2.mlp.fc2.bias`" in page.read_text()


def test_a_model_of_another_size_is_built_from_its_file(tmp_path: Path) -> None:
    """Sizes come from meta.config: with other heads the same weights give other numbers, and that is seen."""
    with np.load(SHIPPED / "hicmae_finetune_tiny.npz") as archive:
        changed = {name: archive[name] for name in archive.files}
    config = json.loads(str(changed["meta.config"])) | {"num_heads": 2, "fusion_num_heads": 8}
    changed["meta.config"] = np.array(json.dumps(config))
    np.savez(tmp_path / "heads.npz", **changed)
    rows = compare_with_oracle(tmp_path / "heads.npz")
    assert not next(row for row in rows if row.group == "out.eval.logits").passed


def test_gradients_of_clips_that_are_nearly_alike_are_judged_by_what_batch_norm_adds_up(tmp_path: Path) -> None:
    """The scale is computed in double precision, where the tolerance is as strict as ever."""
    with np.load(SHIPPED / "avfmaepp_pretrain_tiny.npz") as archive:
        alike = {name: archive[name] for name in archive.files}
    for name in ("in.video", "in.audio"):
        alike[name] = (alike[name][:1] + alike[name] * np.float16(0.01)).astype(np.float16)
    for name in ("in.mask_video", "in.mask_audio"):
        alike[name] = np.repeat(alike[name][:1], len(alike[name]), 0)
    exact = mae_numbers(alike, json.loads(str(alike["meta.config"])), torch.float64)
    alike |= {name: value.detach().numpy() for name, value in exact.items() if name in alike}
    np.savez(tmp_path / "avfmaepp_pretrain_alike.npz", **alike)
    tolerances = {
        name: {(row.precision, row.group): row.tolerance for row in compare_with_oracle(path)}
        for name, path in (("alike", tmp_path / "avfmaepp_pretrain_alike.npz"), ("apart", SHIPPED / f"{MODELS[2]}.npz"))
    }
    assert tolerances["apart"]["float32", "gradients"] == SINGLE
    assert 3 * SINGLE < tolerances["alike"]["float32", "gradients"] < 10 * SINGLE
    assert tolerances["alike"]["float64", "gradients"] == STORED_F64
    assert tolerances["alike"]["float32", "losses"] == SINGLE


def test_the_scale_of_gradients_is_the_sum_of_what_the_backward_pass_of_batch_norm_adds() -> None:
    random = np.random.default_rng(0)
    norm = UnitBatchNorm(2, 1, True).double()
    scale = GradientScale(norm)
    x_BCO = torch.from_numpy(1 + 0.001 * random.standard_normal((5, 2, 3))).requires_grad_()
    weight_BCO = random.standard_normal((5, 2, 3))
    (norm(x_BCO) * torch.from_numpy(weight_BCO)).sum().backward()
    x = x_BCO.detach().numpy()
    deviation = np.sqrt(x.var((0, 2), keepdims=True) + norm.eps)
    normalized = (x - x.mean((0, 2), keepdims=True)) / deviation
    along = (weight_BCO * normalized).mean((0, 2), keepdims=True)
    grad = (weight_BCO - weight_BCO.mean((0, 2), keepdims=True) - normalized * along) / deviation
    np.testing.assert_allclose(x_BCO.grad, grad, rtol=1e-9, err_msg="the terms are those of the gradient")
    terms = np.abs(weight_BCO) + np.abs(weight_BCO).mean((0, 2), keepdims=True)
    terms += np.abs(normalized) * np.abs(weight_BCO * normalized).mean((0, 2), keepdims=True)
    assert float(scale.number()[GRADIENT_SCALE]) == pytest.approx((terms / deviation).sum((0, 2)).max(), rel=1e-9)
    assert float(GradientScale(norm).number()[GRADIENT_SCALE]) == 1.0, "without a backward pass"


def test_files_that_hold_no_reference_outputs_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    np.savez(tmp_path / "pickle.npz", x=np.array([{}], dtype=object))
    np.savez(tmp_path / "half.npz", **{"meta.config": np.array('{"decoder_embed_dim": 3}')})
    for name in ("gone.npz", "text.npz", "other.npz", "pickle.npz", "half.npz"):
        assert main(["parity", str(tmp_path / name)]) == 2
        message = capsys.readouterr().err
        assert name in message
        assert "Traceback" not in message
