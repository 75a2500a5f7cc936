"""Cost of a frozen probe during pre-training: seconds of one call beside the step of the recipe, in one process."""

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from avf_training.data.storage import StorageConfig
from avf_training.distributed.collectives import process_group
from avf_training.finetuning.frozen import extract_features, probe_callback
from avf_training.models.classifier import Classifier
from avf_training.tasks.labelled_shards import LabelledShards
from support.records import make_clip_record
from torch import multiprocessing

from benchmarks.gpu.inputs import clip_keys, labelled_task, nano_clip
from benchmarks.gpu.results import Row
from benchmarks.gpu.settings import Settings, recipe_for
from benchmarks.gpu.timing import time_steps
from benchmarks.gpu.training_step import TrainingStep
from benchmarks.talkers import encode_stored_clip, write_shards

_DIFFERENT, _CLIPS, _TESTED = 16, 320, 64  # drawn speakers, clips that they repeat as, and those that are tested


def run(settings: Settings) -> Iterator[tuple[str, Row]]:
    """Time a probe of a small labelled shelf, and the steps between two of them."""
    recipe = recipe_for("fast", settings)
    clips, tested = (16, 4) if settings.tiny else (_CLIPS, _TESTED)
    keys = clip_keys(clips)
    with tempfile.TemporaryDirectory() as name, process_group(settings.device) as context:
        shelf = write_shards(Path(name) / "shelf", _labelled_clips(keys, settings))
        task = labelled_task(keys, tested, LabelledShards([shelf], StorageConfig()))
        step = TrainingStep(recipe, context, settings.stored_px)
        step.set_batch(recipe.micro_batch)
        step.set_precision(recipe.precision)
        step_s = time_steps(step.run, settings.device, seconds=0.1 if settings.tiny else 1.5).median_s
        tensors = step.model.state_dict()
        probe = probe_callback(recipe.model_config(), task, settings.device)
        first_s = _seconds(lambda: probe(0, tensors))  # makes its model
        probe_s = _seconds(lambda: probe(1, tensors))
        classifier = Classifier(recipe.model_config(), 1).to(settings.device)
        features_s = _seconds(lambda: extract_features(classifier, task, keys))
    every = recipe.eval_every or 1000
    yield (
        "A frozen probe during pre-training",
        {
            "model": recipe.model,
            "clips of a step": recipe.micro_batch,
            "step ms": 1000 * step_s,
            "clips of the shelf": clips,
            "tested": tested,
            "first probe s": first_s,
            "probe s": probe_s,
            "features alone s": features_s,
            "steps between probes": every,
            "steps that a probe takes": probe_s / step_s,
            "ratio of times with and without": (every * step_s + probe_s) / (every * step_s),
        },
    )


def _labelled_clips(keys: list[str], settings: Settings) -> list[dict[str, bytes]]:
    """Return clips with a record each, of a few drawn speakers that repeat."""
    if settings.tiny:
        different = [nano_clip(number) for number in range(4)]
    else:
        with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
            different = list(pool.map(encode_stored_clip, range(_DIFFERENT)))
    repeated = [different[number % len(different)] for number in range(len(keys))]
    return [files | {"json": make_clip_record(key).to_json()} for key, files in zip(keys, repeated, strict=True)]


def _seconds(work: Any) -> float:
    start_s = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start_s
