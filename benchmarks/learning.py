"""Pre-train `nano` on the demo corpus with three seeds and score it on speakers outside the training set; and run one longer training."""

import shutil
import tempfile
import time
from pathlib import Path

import torch
from avf_curation.demo.demo import run_demo, unlabelled_demo
from avf_training.config.pretrain import load_recipe
from avf_training.data.storage import StorageConfig
from avf_training.models.mae import MaskedAutoencoder
from avf_training.pretraining.pretrain import PretrainingData, run_pretraining
from avf_training.pretraining.validation import ValidationClips, ValidationScores

from benchmarks.table import Section

SEEDS, LONGER = (0, 1, 2), 3
DOCS = Path(__file__).parents[1] / "docs"
NOTE = (
    "`nano` (training/recipes/nano.yaml) on the shards of `avf-curate demo`, on two cores, scored on one window of each clip of the folder `validation`, "
    "whose speakers are not in the training set. Error: of what was masked, over that of the training clips' mean patch (the target: 0.8 or less), and over that of "
    "their mean image, which knows where faces are. R@1: the share of clips whose own sound is the nearest, both ways, over chance (the target: 5 "
    "or more). What links a voice to a face here: the eight rooms differ in colour and in hum, women in hair and pitch. The longer run has "
    f"{LONGER} times the steps; its curve is docs/learning-curve.png, its reconstructions docs/learning-picture.png."
)


def run() -> list[Section]:
    torch.set_num_threads(2)  # as a user's trainer has it
    rows = [["run", "steps", "minutes", "error / mean patch", "error / mean image", "R@1 / chance", "clips"]]
    with tempfile.TemporaryDirectory() as folder:
        demo = Path(folder)
        run_demo(demo, "ray", 2, unlabelled_demo())
        for seed in SEEDS:
            rows.append([f"seed {seed}", *_row(demo, demo / f"run-{seed}", f"seed={seed}")])
        steps = load_recipe("nano").steps or 0
        longer = demo / "longer"
        rows.append(["longer, seed 0", *_row(demo, longer, f"steps={LONGER * steps}", f"eval_every={steps}")])
        shutil.copy(longer / "curve.png", DOCS / "learning-curve.png")
        shutil.copy(sorted((longer / "reconstructions").iterdir())[-1], DOCS / "learning-picture.png")
    return [Section("What nano learns in a few minutes", NOTE, rows)]


def _row(demo: Path, out: Path, *settings: str) -> list[str]:
    recipe = load_recipe("nano", settings)
    start_s = time.perf_counter()
    run_pretraining(recipe, PretrainingData(shards=demo / "shards", validation=demo / "validation"), out)
    minutes = (time.perf_counter() - start_s) / 60
    scores = _score(demo, out)
    cells = (
        f"{scores.mean_patch_ratio:.3f}",
        f"{scores.mean_image_ratio:.3f}",
        f"{scores.recall_over_chance:.1f}",
        f"{scores.clips}",
    )
    return [f"{recipe.steps:,}", f"{minutes:.1f}", *cells]


def _score(demo: Path, out: Path) -> ValidationScores:
    model = MaskedAutoencoder.from_pretrained(out / "model")
    recipe = load_recipe("nano")
    clips = ValidationClips(
        model.config, recipe.masks, train=demo / "shards", validation=demo / "validation", storage=StorageConfig()
    )
    return clips.score(model)
