"""Outputs are equal to those of the authors' code, and a single wrong value is reported."""

import json
from pathlib import Path

import numpy as np
import pytest
from avf_training.cli.main import main
from avf_training.conversion.parity import compare_with_oracle

MODELS = ("hicmae_pretrain_tiny", "hicmae_finetune_tiny", "avfmaepp_pretrain_tiny", "avfmaepp_finetune_tiny")


@pytest.fixture(scope="module")
def oracles(shared: Path) -> Path:
    folder = shared / "oracles"
    if not folder.is_dir():
        pytest.skip("the authors' numbers (../shared/oracles) are not here")
    return folder


@pytest.mark.real
@pytest.mark.parametrize("name", [*MODELS, "maedfer_lgi_tiny", "masks", "fbank", "sincos"])
def test_outputs_equal_those_of_the_authors_code(oracles: Path, name: str) -> None:
    rows = compare_with_oracle(oracles / f"{name}.npz")
    assert not [row for row in rows if not row.passed]
    if name in MODELS:
        groups = {row.group for row in rows}
        assert {"losses", "gradients"} <= groups
        assert {row.precision for row in rows} == {"float64", "float32"}
        with np.load(oracles / f"{name}.npz") as archive:
            results = [n for n in archive.files if n.startswith(("out.", "loss.", "grad.", "target.", "bn_after."))]
            numbers = sum(archive[n].size for n in results)
        assert sum(row.numbers for row in rows if row.precision == "float64") == numbers, "every number was compared"


@pytest.mark.real
def test_a_single_wrong_value_is_reported(oracles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(oracles / "hicmae_finetune_tiny.npz") as archive:
        changed = {name: archive[name] for name in archive.files}
    changed["grad.encoder_audio.blocks.2.mlp.fc2.weight"] = changed["grad.encoder_audio.blocks.2.mlp.fc2.weight"].copy()
    changed["grad.encoder_audio.blocks.2.mlp.fc2.weight"][3, 5] += 1e-5
    np.savez(tmp_path / "off.npz", **changed)
    page = tmp_path / "parity.md"
    assert main(["parity", str(tmp_path / "off.npz"), "--page", str(page)]) == 1
    output = capsys.readouterr().out
    assert "OFF: off.npz, float64, gradients: grad.encoder_audio.blocks.2.mlp.fc2.weight" in output
    assert "OFF at `grad.encoder_audio.blocks.2.mlp.fc2.weight`" in page.read_text()


@pytest.mark.real
def test_a_model_of_another_size_is_built_from_its_file(oracles: Path, tmp_path: Path) -> None:
    """Sizes come from meta.config: with other heads the same weights give other numbers, and that is seen."""
    with np.load(oracles / "hicmae_finetune_tiny.npz") as archive:
        changed = {name: archive[name] for name in archive.files}
    config = json.loads(str(changed["meta.config"])) | {"num_heads": 2, "fusion_num_heads": 8}
    changed["meta.config"] = np.array(json.dumps(config))
    np.savez(tmp_path / "heads.npz", **changed)
    rows = compare_with_oracle(tmp_path / "heads.npz")
    assert not next(row for row in rows if row.group == "out.eval.logits").passed


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
