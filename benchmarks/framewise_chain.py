"""Frame by frame without anybody's data or weights: from drawn people to a report, on people never seen, over three seeds.

The variable AVF_FRAMEWISE names a folder in which the chain is finished or begun; every command in it goes on where it
stopped. Without it, all is made in a temporary folder.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.table import Section

SEEDS = (0, 1, 2)
TASK = "va"
EPOCHS, EVALUATE_EVERY = 30, 3  # of sequence models
_SMALL = ("hidden=[64,64,32]", "rate=2e-3")  # half as wide as the authors' transformer, for two cores


@dataclass(frozen=True, kw_only=True)
class Part:
    """A sequence model, or an ensemble of them."""

    name: str  # of its runs and predictions
    about: str  # words for the table
    recipe: str = ""  # empty: an ensemble
    settings: tuple[str, ...] = ()
    members: tuple[str, ...] = ()  # names of the parts of an ensemble
    method: str = "{kind: mean}"


_SOUND, _FACE = ("visual=[log_mel]", "audio=[]"), ("visual=[vit]", "audio=[]")
_BOTH = ("visual=[vit]", "audio=[log_mel]")
PARTS = (
    Part(name="temporal_sound", about="temporal model, sound alone", recipe="sun_temporal", settings=_SOUND),
    Part(name="temporal_face", about="temporal model, face alone", recipe="sun_temporal", settings=_FACE),
    Part(name="temporal_both", about="temporal model, face and sound", recipe="sun_temporal", settings=_BOTH),
    Part(
        name="apart",
        about="ensemble of the temporal models of sound and of face",
        members=("temporal_sound", "temporal_face"),
        method="{kind: dirichlet, matrices: 1000, seed: 0}",
    ),
    Part(name="sound", about="fusion transformer, sound alone", recipe="netease_fusion", settings=(*_SMALL, *_SOUND)),
    Part(name="both", about="fusion transformer, face and sound", recipe="netease_fusion", settings=(*_SMALL, *_BOTH)),
    Part(
        name="all",
        about="ensemble of the last one and the temporal models of sound and of face",
        members=("both", "temporal_sound", "temporal_face"),
        method="{kind: dirichlet, matrices: 2000, seed: 0}",
    ),
)


def run() -> list[Section]:
    folder = os.environ.get("AVF_FRAMEWISE")
    if folder:
        return run_chain(Path(folder))
    with tempfile.TemporaryDirectory() as name:
        return run_chain(Path(name) / "chain")


def run_chain(folder: Path) -> list[Section]:
    """Run what is not there yet of the chain, write FOLDER/report/va.html of the first seed, and return the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    start = time.process_time()
    _curate(folder)
    _train("frame-labels", folder / "shards", "--out", folder / "labels")
    _copy_without_test(folder / "labels", folder / "known-labels")
    pictures = folder / "pictures"
    _train("pretrain-images", pictures, "--recipe", "image_mae_tiny", "--set", "threads=1", "--out", folder / "mae")
    _extract(folder)
    for seed in SEEDS:
        for part in PARTS:
            _answer(folder, part, seed)
    predictions = folder / f"predictions-{TASK}-{SEEDS[0]}"
    _train("report-frames", "--task", TASK, "--predictions", predictions, "--name", PARTS[-1].name,
           "--labels", folder / "labels", "--out", folder / "report")  # fmt: skip
    print(f"{time.process_time() - start:.0f} CPU seconds of this process", flush=True)
    return [_section(folder)]


def _curate(folder: Path) -> None:
    """Draw, curate and pack the videos and the pictures."""
    if not (folder / "shards").is_dir() or not (folder / "pictures").is_dir():
        _call("avf_curation.cli.main", "demo", "--frames", "--out", folder)


def _extract(folder: Path) -> None:
    """Fine-tune an extractor on the pictures' action units, and write tracks of the videos."""
    tracks, extractor = folder / "tracks", folder / "extractor"
    _train("finetune-images", folder / "pictures", "--task", "au", "--model", folder / "mae", "--recipe",
           "image_features_tiny", "--set", "threads=1", "--out", extractor)  # fmt: skip
    _train("extract", folder / "shards", "--extractor", "vit", "--weights", extractor, "--out", tracks)
    _train("extract", folder / "shards", "--extractor", "log_mel", "--out", tracks)


def _answer(folder: Path, part: Part, seed: int) -> None:
    """Train a part and predict, or put its members together."""
    tracks, known = folder / "tracks", folder / "known-labels"
    predictions = folder / f"predictions-{TASK}-{seed}"
    if part.members:
        plan = folder / f"{part.name}-{TASK}-{seed}.yaml"
        members = "\n".join(f"  - {{name: {name}}}" for name in part.members)
        plan.write_text(
            f"schema: avf-foundry frame ensemble plan\nschema_version: 1\ntask: {TASK}\nname: {part.name}\n"
            f"members:\n{members}\nmethod: {part.method}\n",
            "utf-8",
        )
        # The labels of people that are tested on are not there: weights are chosen in validation.
        if not (predictions / part.name).is_dir():
            _train("ensemble-frames", plan, "--predictions", predictions, "--labels", known, "--out", predictions)
        return
    run = folder / "runs" / f"{part.name}-{TASK}-{seed}"
    settings = (*part.settings, f"epochs={EPOCHS}", f"evaluate_every={EVALUATE_EVERY}", f"seed={seed}", "threads=1")
    _train("train-frames", "--tracks", tracks, "--labels", known, "--task", TASK, "--recipe", part.recipe,
           *(word for setting in settings for word in ("--set", setting)), "--out", run)  # fmt: skip
    _train("predict-frames", run, "--tracks", tracks, "--out", predictions, "--name", part.name)


def _copy_without_test(labels: Path, out: Path) -> None:
    """Copy the labels of the people who are not tested on."""
    from avf_training.framewise.labels.label_track import list_label_tracks, write_label_track

    for task in ("va", "expr", "au"):
        for track in list_label_tracks(labels, task):
            if track.split != "test":
                write_label_track(out, track)


def score_part(folder: Path, name: str, seed: int) -> dict[str, float]:
    """Return the scores of a part on the people who are tested on: of each output, and their mean."""
    from avf_training.framewise.labels.tasks import find_task
    from avf_training.framewise.predictions.frame_statistics import (
        count_frames,
        list_values,
        merge_statistics,
        score_statistics,
    )
    from avf_training.framewise.predictions.prediction_set import read_prediction_set
    from avf_training.framewise.predictions.truth_join import join_video, read_labels

    task = find_task(TASK)
    predicted = read_prediction_set(folder / f"predictions-{TASK}-{seed}", name, task)
    statistics = []
    for subject, labels in read_labels(folder / "labels", task).items():
        if labels.split == "test":
            joined = join_video(labels, predicted.tracks[subject])
            statistics.append(count_frames(task, joined.labels.values_NK, joined.likelihoods_ND))
    scores = list_values(score_statistics(task, merge_statistics(task, np.stack(statistics))))
    return {output: float("nan") if value is None else value for output, value in scores.items()}


def _section(folder: Path) -> Section:
    from avf_training.finetuning.model_selection import read_validation, select_epoch

    best = select_epoch(read_validation(folder / "extractor"), "validation", "mean F1")
    assert best is not None, "the extractor was scored"
    rows = [["", "valence, CCC", "arousal, CCC", "mean CCC"]]
    scores = {part.name: [score_part(folder, part.name, seed) for seed in SEEDS] for part in PARTS}
    outputs = ("valence", "arousal", "mean")
    for part in PARTS:
        cells = [_seed_summary([each[output] for each in scores[part.name]]) for output in outputs]
        rows.append([part.about, *cells])
    pairs = list(zip(scores["all"], scores["both"], strict=True))
    cells = [_seed_summary([ensemble[output] - member[output] for ensemble, member in pairs]) for output in outputs]
    rows.append(["last ensemble less fusion of face and sound, seed by seed", *cells])
    note = (
        "`avf-curate demo --frames`; image MAE and an extractor of action units on the pictures of 64 drawn people "
        f"(trained once; mean F1 {best[1]:.2f} on 16 others); log-mel spectra as sound; sequence models on the videos "
        "of 32 people; epochs and weights chosen on 10, and tested on 14 whom nothing has seen. By their making, faces "
        f"show valence alone and voices arousal alone. Mean over {len(SEEDS)} seeds ± standard deviation, each seed in "
        "parentheses, in hundredths. What does not help: a face for arousal, sound for valence; in the temporal model, "
        "which reads five spectra of 25 ms a second, a face beside the sound costs arousal; and the last ensemble does "
        "not beat fusion alone: seed by seed it gains valence and loses arousal, and the mean of both stays. A fusion transformer of the face alone was not run."
    )
    return Section("Frame by frame, without anybody's data or weights", note, rows)


def _seed_summary(values: Sequence[float]) -> str:
    each = ", ".join(f"{100 * value:.0f}" for value in values)
    return f"{100 * np.mean(values):.1f} ± {100 * np.std(values, ddof=1):.1f} ({each})"


def _train(*words: object) -> None:
    """Run a command of avf-train in this process; one that has finished does nothing."""
    from avf_training.cli.main import main

    argv = [str(word) for word in words]
    status = main(argv)
    if status:
        raise SystemExit(f"avf-train {' '.join(argv)}: exit status {status}")


def _call(module: str, *words: object) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", module, *map(str, words)], check=True, env=environment)
