"""Pre-training recipes hold the values of the papers, and invalid settings are refused before any work."""

import json
from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_training.config.pretrain import FOLDER, load_recipe, recipe_from_frozen
from avf_training.models.config import TargetConfig


def test_recipes_hold_the_values_of_the_papers() -> None:
    base = load_recipe("avfmaepp_b")
    assert (base.batch, base.micro_batch, base.epochs) == (164 * 8, 164, 200)
    assert (base.optim.base_lr, base.optim.betas, base.optim.weight_decay) == (1.5e-4, (0.9, 0.95), 0.05)
    assert (base.optim.warmup_epochs, base.optim.clip_norm) == (20, None)
    assert (base.masks.video_ratio, base.masks.audio_ratio, base.masks.decoder_ratio) == (0.9, 0.8125, 0.5)
    assert (base.precision.compute, base.precision.fp32_decoder) == ("fp16", True)
    assert load_recipe("avfmaepp_h").optim.clip_norm == 0.7
    assert load_recipe("avfmaepp_l").model == "avfmaepp_l"
    for name in ("hicmae_t", "hicmae_s", "hicmae_b"):
        theirs = load_recipe(name)
        assert (theirs.model, theirs.batch, theirs.micro_batch, theirs.epochs) == (name, 160, 40, 100)
        assert (theirs.optim.base_lr, theirs.optim.warmup_epochs, theirs.masks.audio_ratio) == (3e-4, 5, 0.8)


def test_every_recipe_loads() -> None:
    names = {path.stem for path in FOLDER.glob("*.yaml")}
    assert {name: load_recipe(name).model for name in names} == {name: name for name in names} | {
        "demo": "nano",
        "fast": "avfmaepp_b",
        "maedfer": "table20_vanilla_lgi",
    }


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("stepz=3", "stepz: unknown setting; did you mean 'steps'"),
        ("optim.base_rl=3", "optim.base_rl: unknown setting; did you mean 'base_lr'"),
        ("steps=many", "steps: expected a whole number, got 'many'"),
        ("model=avfmaepp_x", "unknown model 'avfmaepp_x'; did you mean 'avfmaepp_"),
        ("micro_batch=1", "no negatives"),
        ("precision.compute=fp8", "'fp8' is not one of 'fp32', 'fp16', 'bf16'"),
        ("masks.video_ratio=1.5", "video_ratio 1.5 must lie between"),
        ("mix={quotas: {a: 1}, weights: {b: 1}}", "mix: quotas and weights are both given"),
        ("mix.weights.a=-1", "mix: a: -1.0 must be a number above 0"),
        ("checkpoint_every=0", "checkpoint_every 0 must be at least 1"),
        ("steps", "expected key=value, as in --set steps=30"),
    ],
)
def test_an_invalid_setting_is_refused_with_the_reason(setting: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        load_recipe("nano", [setting])


def test_a_batch_that_the_ranks_cannot_share_is_refused(tmp_path: Path) -> None:
    recipe = load_recipe("nano", ["batch=24", "micro_batch=4"])
    assert [recipe.accumulation(world) for world in (1, 2, 3, 6)] == [6, 3, 2, 1]
    for world in (5, 7, 12):
        with pytest.raises(UserError, match=rf"a batch of 24 is no multiple of {world} processes x micro_batch 4"):
            recipe.accumulation(world)
    with pytest.raises(UserError, match="no such file, and none of avfmaepp_b, avfmaepp_h"):
        load_recipe("nosuch")
    (tmp_path / "mine.yaml").write_text("based_on: nano\nsteps: 7\n")
    assert load_recipe(str(tmp_path / "mine.yaml")).steps == 7
    for text, says in (("[1, 2]", "a recipe is a table"), ("a: [", "not a recipe file"), ("based_on: x", "no recipe")):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(UserError, match=says):
            load_recipe(str(tmp_path / "bad.yaml"))


def test_untested_combinations_are_refused() -> None:
    with pytest.raises(UserError, match="compile and parallel: fsdp have not been tried together"):
        load_recipe("nano", ["compile=true", "parallel=fsdp"])


def test_the_recipe_of_a_run_is_read_as_it_was_written() -> None:
    recipe = load_recipe("avfmaepp_h", ["steps=30", "mix.quotas.a=3", "workers=7"])
    restored = recipe_from_frozen(json.loads(json.dumps(recipe.frozen())))
    assert restored.frozen() == recipe.frozen()
    assert restored.workers != recipe.workers, "what is free has its default"


def test_the_loss_follows_the_recipe() -> None:
    config = load_recipe("nano", ["contrastive.weight=0.5", "contrastive.temperature=0.2"]).model_config()
    assert (config.contrastive_weight, config.temperature, config.targets.normalised) == (0.5, 0.2, False)
    for name in ("avfmaepp_b", "avfmaepp_l", "avfmaepp_h", "hicmae_t", "hicmae_s", "hicmae_b"):
        theirs = load_recipe(name)
        assert (theirs.contrastive.weight, theirs.contrastive.temperature) == (0.0025, 0.07)
        assert theirs.contrastive.negatives == "local"
        assert theirs.targets == TargetConfig(normalised=True, frame_difference=True)


def test_the_nearest_worlds_and_the_fitting_micro_batches_are_named() -> None:
    recipe = load_recipe("nano", ["batch=24", "micro_batch=4"])
    for world, advice in (
        (5, "with this micro_batch 3 or 6 processes do"),
        (12, "with this micro_batch 6 processes do; with 12 processes a micro_batch of 2 does"),
        (100, "with this micro_batch 6 processes do"),
    ):
        with pytest.raises(UserError, match=rf"{advice}$"):
            recipe.accumulation(world)
    for world in (3, 6):
        recipe.accumulation(world)
