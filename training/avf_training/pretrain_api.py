"""Pre-train from Python or a notebook, as `avf-train pretrain` does, which calls this function.

import avf_training as train
run = train.pretrain("SHARDS", out="RUN", recipe="nano", settings={"steps": 30})
print(run.step, run.folder / "model")
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avf_shards.cli.logging_setup import show_progress
from avf_shards.cli.paths import local_path, output_folder
from avf_shards.errors import UserError
from avf_shards.settings.override_words import set_words
from avf_shards.stores.addresses import is_store_address
from avf_shards.system.mirror_registry import push

from avf_training.config.pretrain import PretrainRecipe, load_recipe, refuse_idle_probe
from avf_training.data.shard_checks import require_shards
from avf_training.data.storage import StorageConfig
from avf_training.distributed.device_choice import check_device_name, resolve_device
from avf_training.distributed.environment import launched_world
from avf_training.tasks.catalog import Dataset, find_dataset


@dataclass(frozen=True, kw_only=True)
class PretrainedRun:
    """A run of `pretrain` in its folder."""

    folder: Path  # with model, curve.png and metrics.jsonl
    step: int  # reached
    finished: bool  # its model is saved; False: a signal stopped it, and the same call continues it


@dataclass(frozen=True, kw_only=True)
class PretrainOptions:
    """What a pre-training may have besides its shards and its recipe."""

    validation: Path | str | None = None  # shards of people that are not trained on: they are scored and drawn
    probe: Sequence[Path | str] = ()  # labelled shards on which probes score the frozen features as training goes on
    probe_dataset: Path | str | None = None  # name of the data set of `probe`, or a file
    from_step: int | None = None  # continue from the checkpoint of this step; None: the newest
    device: str | None = None  # auto, cuda, mps or cpu; None: auto
    cache: Path | str | None = None  # folder that keeps what was read from an address


def pretrain(
    shards: Path | str,
    out: Path | str,
    recipe: Path | str,
    settings: Mapping[str, Any] | Sequence[str] = (),
    options: PretrainOptions = PretrainOptions(),
) -> PretrainedRun:
    """Pre-train a masked autoencoder on shards, as `avf-train pretrain` does, and return the run.

    Called again with the same arguments it continues a run that was stopped, anywhere, and returns a finished one.
    Ctrl-C, or the stop button of a notebook, saves the run and raises KeyboardInterrupt.

    Args:
        shards: a folder of packed shards, or its address.
        out: folder of the run, or its address in a store.
        recipe: name of a shipped recipe, or a file.
        settings: fields that differ, as {"steps": 30, "optim": {"base_lr": 1e-4}}; or texts as `--set` takes them.
        options: validation, probes, device and cache.

    Raises:
        UserError: the settings, the shards, `out` or the machine do not allow this run; the message says why.
        FaultError: shards are damaged, or the loss is not finite.
    """
    folder, device = _out_folder(out), _check_device(options.device)
    storage = StorageConfig(cache=None if options.cache is None else _argument(local_path, options.cache))
    loaded = load_recipe(str(recipe), set_words(settings))
    probe_data = _check_probe(options.probe, options.probe_dataset, loaded)
    require_shards(
        [str(path) for path in (shards, *([options.validation] if options.validation else []), *options.probe)]
    )
    if launched_world().rank == 0:
        show_progress("loading the model")
    # After what is refused quickly: this loads torch.
    from avf_training.pretraining.pretrain import PretrainingData, run_pretraining
    from avf_training.trainer.run_folder import MODEL

    device = resolve_device(device)
    data = PretrainingData(
        shards=shards,
        validation=options.validation,
        storage=storage,
        probe=None if probe_data is None else _make_probe(options.probe, probe_data, storage, loaded, device),
    )
    try:
        step = run_pretraining(loaded, data, folder, device=device, from_step=options.from_step)
    finally:
        push(folder)
    return PretrainedRun(folder=folder, step=step, finished=(folder / MODEL).exists())


def _check_probe(probe: Sequence[Path | str], dataset: Path | str | None, recipe: PretrainRecipe) -> Dataset | None:
    """Return the data set of the probe, None without one; refuse half a probe and one that never runs.

    Raises UserError, all without torch.
    """
    if not probe and not dataset:
        return None
    if not probe or not dataset:
        raise UserError("--probe SHARDS and --probe-dataset NAME belong together; give both or none")
    if not recipe.eval_every:
        raise UserError("--probe scores every eval_every steps, and that is 0; --set eval_every=1000")
    if recipe.steps is not None:  # where epochs decide, the length of the run is known with the shards
        refuse_idle_probe(recipe.eval_every, recipe.steps)
    return find_dataset(str(dataset))


def _make_probe(
    folders: Sequence[Path | str], data: Dataset, storage: StorageConfig, recipe: PretrainRecipe, device: str
) -> Any:
    """Return the function that probes the model as training goes on. Raises UserError."""
    from avf_training.finetuning.frozen import probe_callback
    from avf_training.tasks.labelled_shards import LabelledShards
    from avf_training.tasks.task import fold_task

    config = recipe.model_config()
    task = fold_task(data, LabelledShards(folders, storage), 1, config.modalities, 0.0)
    return probe_callback(config, task, device)


def _check_device(device: str | None) -> str | None:
    """Return the device by its name, None for auto. Raises UserError."""
    return None if device is None else check_device_name(device)


def _out_folder(out: Path | str) -> Path:
    """Return the folder of the run, which is a mirror where `out` is an address of a store."""
    if is_store_address(str(out)):
        from avf_shards.stores.opening import open_location

        return open_location(out)
    return _argument(output_folder, out)


def _argument(check: Callable[[str], Path], value: Path | str) -> Path:
    """Return a path that the check of the command line takes. Raises UserError with its sentence."""
    try:
        return check(str(value))
    except argparse.ArgumentTypeError as error:
        raise UserError(str(error)) from None
