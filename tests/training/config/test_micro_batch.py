"""The micro-batch may change between two starts of a run; what clips compute together may not."""

from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_training.config.finetune import load_finetune_recipe
from avf_training.config.micro_batch import fix_groups
from avf_training.config.pretrain import FOLDER, FREE, load_recipe
from avf_training.trainer.run_folder import freeze_identity


def start(out: Path, *settings: str, world: int = 1) -> tuple[int | None, int | None]:
    """Start a run, or go on with it, and return its groups of batch norm and of the contrastive loss."""
    recipe, identity = fix_groups(load_recipe("nano", ["batch=24", *settings]), out, world)
    freeze_identity(out, identity, 0, FREE)
    return recipe.batch_norm_clips, recipe.contrastive.clips


def test_a_run_keeps_its_groups_when_the_micro_batch_grows(tmp_path: Path) -> None:
    assert start(tmp_path, "micro_batch=6") == (6, 6)
    assert start(tmp_path, "micro_batch=6", world=4) == (6, 6)
    assert start(tmp_path, "micro_batch=12", world=2) == (6, 6)
    assert start(tmp_path, "micro_batch=6", "activation_checkpointing=true", "compile=true") == (6, 6)
    with pytest.raises(UserError, match=r"groups of 6 clips \(batch_norm_clips\), and 4 clips at once are not a whole"):
        start(tmp_path, "micro_batch=4")
    for micro_batch in (6, 4):  # that it is another run is said before what its groups do not fit
        with pytest.raises(UserError, match="run with other settings"):
            start(tmp_path, f"micro_batch={micro_batch}", "batch=48")


def test_groups_of_the_recipe_let_a_run_without_memory_go_on_in_smaller_micro_batches(tmp_path: Path) -> None:
    groups = ("batch_norm_clips=4", "contrastive.clips=4")
    assert start(tmp_path, "micro_batch=24", *groups) == (4, 4)
    assert start(tmp_path, "micro_batch=4", *groups, world=3) == (4, 4)


def test_negatives_of_all_ranks_are_those_of_the_first_world(tmp_path: Path) -> None:
    sets = ("micro_batch=6", "contrastive.negatives=all_ranks")
    assert start(tmp_path, *sets, world=2) == (6, 12)
    assert start(tmp_path, *sets, world=4) == (6, 12)
    with pytest.raises(UserError, match=r"groups of 12 clips \(contrastive\.clips\), and 6 clips at once"):
        start(tmp_path, *sets, world=1)
    assert start(tmp_path, "micro_batch=12", sets[1], world=1) == (6, 12)


def test_a_model_without_batch_norm_and_negatives_takes_any_micro_batch(tmp_path: Path) -> None:
    recipe = load_finetune_recipe("finetune", "hicmae_b", ["micro_batch=7"])
    freeze_identity(tmp_path, fix_groups(recipe, tmp_path, 1)[1], 0)
    smaller = load_finetune_recipe("finetune", "hicmae_b", ["micro_batch=2"])
    freeze_identity(tmp_path, fix_groups(smaller, tmp_path, 1)[1], 0)


def test_the_head_of_a_detector_keeps_the_groups_of_its_batch_norm(tmp_path: Path) -> None:
    recipe = load_finetune_recipe("finetune", "hicmae_b", ["micro_batch=6", "head=detector"])
    fixed, identity = fix_groups(recipe, tmp_path, 1)
    assert fixed.batch_norm_clips == 6
    freeze_identity(tmp_path, identity, 0)
    smaller = load_finetune_recipe("finetune", "hicmae_b", ["micro_batch=4", "head=detector"])
    with pytest.raises(UserError, match=r"groups of 6 clips \(batch_norm_clips\)"):
        fix_groups(smaller, tmp_path, 1)


def test_the_table_of_worlds_in_the_docs_is_that_of_the_recipes() -> None:
    rows = []
    for path in sorted(FOLDER.glob("*.yaml")):
        recipe = load_recipe(path.stem)
        worlds = [n for n in range(1, recipe.batch + 1) if recipe.batch % (n * recipe.micro_batch) == 0]
        rows.append(f"| `{path.stem}` | {recipe.batch:,} | {recipe.micro_batch} | {', '.join(map(str, worlds))} |")
    assert "\n".join(rows) in (FOLDER.parents[2] / "docs/howto/resume.md").read_text()
