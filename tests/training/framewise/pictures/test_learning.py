"""Image MAE and its fine-tuning learn what faces show, on drawn people that were never seen."""

from pathlib import Path

import numpy as np
import pytest
from avf_training.data.storage import StorageConfig
from avf_training.finetuning.model_selection import read_validation, select_epoch
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.pictures.finetune_recipe import load_image_finetune_recipe
from avf_training.framewise.pictures.finetuning import finetune_images
from avf_training.framewise.pictures.pretrain_recipe import load_image_recipe
from avf_training.framewise.pictures.pretraining import ImagePretrainingData, run_image_pretraining
from avf_training.framewise.pictures.shard_labels import read_labelled_shards
from avf_training.framewise.pictures.split import split_pictures
from support.drawn_pictures import write_drawn_people


@pytest.mark.slow
@pytest.mark.timeout(3600)  # three CPU minutes, on a machine that may be shared
def test_action_units_of_unseen_people_are_told_better_than_by_chance(tmp_path: Path) -> None:
    """Raised brows (AU1, AU2): beside always saying yes, the best that no look at the picture can do."""
    shards, task = tmp_path / "shards", find_task("au")
    write_drawn_people(shards, train=40, validation=12, pictures=24)
    pretraining = load_image_recipe("image_mae_small", ("eval_every=0", "workers=0", "threads=1", "log_every=100"))
    run_image_pretraining(pretraining, ImagePretrainingData(shards=[shards]), tmp_path / "mae")
    pictures = read_labelled_shards([shards], task, StorageConfig())
    recipe = load_image_finetune_recipe(
        "image_features_small", ("class_weights=none", "workers=0", "threads=1", "log_every=100")
    )
    finetune_images(recipe, pictures, tmp_path / "mae", tmp_path / "run")
    rows = read_validation(tmp_path / "run")
    best = select_epoch(rows, "validation", task.metric)
    assert best is not None
    scores = next(row for row in rows if row.step == best[0]).scores["validation"]
    truth_NK = pictures.values_NK[list(split_pictures(pictures, 0.1).validation)]
    for unit in ("AU1", "AU2"):
        share = float(np.mean(truth_NK[:, task.classes.index(unit)]))
        value = scores[f"F1 {unit}"]
        assert value is not None
        assert value > 2 * share / (1 + share) + 0.1, scores
