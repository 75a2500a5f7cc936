"""The cost of a model is counted without computing it, block by block, and is that of the model run as it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from avf_training.models import cost_counter
from avf_training.models.config import Precision
from avf_training.models.mask_sampling import paper_masks
from avf_training.models.model_costs import PRESET_COSTS, ModelSummary, costs_as_json, load_preset_costs
from avf_training.models.presets import preset
from avf_training.models.summary import store_preset_costs, summarize_model, training_bytes


def summarize(name: str) -> ModelSummary:
    return summarize_model(preset(name), 8, Precision(compute="bf16"))


def test_costs_are_those_of_the_model_with_every_block_run(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = summarize("nano")
    assert (quick.finetune.activation_bytes, quick.pretrain.activation_bytes) == (66_297_700, 54_484_580)
    assert (quick.finetune.parameters, quick.pretrain.parameters) == (3_461_591, 4_088_580)
    assert quick.finetune.gmacs == pytest.approx(0.205804608)

    @contextmanager
    def run_all(model: object, counter: object) -> Iterator[None]:
        for module in model.modules():
            cost_counter._make_fake(module, counter)
        yield

    monkeypatch.setattr(cost_counter, "_reuse_blocks", run_all)
    assert summarize("nano") == quick


def test_recomputed_activations_need_less_memory() -> None:
    config, precision = preset("nano"), Precision(compute="bf16")
    whole, recomputed = (
        training_bytes(config, paper_masks(config), 8, precision, checkpointing=on) for on in (False, True)
    )
    assert recomputed < whole


@pytest.mark.slow
def test_stored_costs_are_those_that_are_counted(tmp_path: Path) -> None:
    """After a change of a model: `python -c "from avf_training.models.summary import *; store_preset_costs()"`."""
    store_preset_costs(tmp_path / "costs.json")
    assert (tmp_path / "costs.json").read_text() == PRESET_COSTS.read_text()
    assert costs_as_json(load_preset_costs().values()).decode() == PRESET_COSTS.read_text()
