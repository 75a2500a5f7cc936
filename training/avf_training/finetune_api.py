"""Train from Python or a notebook, as `avf-train finetune` and `posttrain` do, with the same folders as result.

import avf_training as train
run = train.finetune("mafw_11", "MAFW", out="FT", recipe="nano", settings={"epochs": 30})
print(run.result()["protocols"]["validation"]["scores"]["WAR"])
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from avf_shards.errors import UserError
from avf_shards.schema.fields import Fields
from avf_shards.stores.addresses import is_store_address
from avf_shards.system.mirror_registry import push

if TYPE_CHECKING:
    from avf_training.config.finetune import FinetuneRecipe, LabelledStage, SelectionProtocol
    from avf_training.tasks.catalog import Dataset
    from avf_training.tasks.labelled_shards import LabelledShards
    from avf_training.tasks.task import Task

#: Settings that differ from the recipe: by name, as in {"epochs": 30, "optim": {"decay": 0.1}}, or as --set takes them.
Settings = Mapping[str, Any] | Sequence[str]
FoldChoice = int | Literal["all"]
LabelledFolders = Path | str | Sequence[Path | str]
OnRun = Callable[[Path, bool], None]
MakeTask = Callable[["FinetuneRecipe", "LabelledShards", int], "Task"]


@dataclass(frozen=True, kw_only=True)
class StageRun:
    """A run of one fold, or the runs of all folds, in a folder."""

    folder: Path
    folds: Mapping[int, Path]  # number of the fold -> folder of its run; those that were not reached are left out
    finished: bool  # false: SIGTERM or SIGUSR1 stopped it; the same call continues

    def result(self, fold: int | None = None) -> dict[str, Any]:
        """Return RUN/result.json of a fold: the scores by protocol. None: the only fold. Raises UserError."""
        return read_test_result(self._run(fold) / "result.json")

    def model(self, protocol: "SelectionProtocol" = "validation", fold: int | None = None) -> Path:
        """Return the folder of the model that a protocol selected, for `predict`. Raises UserError for none."""
        from avf_training.finetuning.finetune import load_best_model

        return load_best_model(self._run(fold), protocol)

    def summary(self) -> dict[str, Any]:
        """Return OUT/folds.json of a run of all folds: means, deviations and pooled scores. Raises UserError."""
        from avf_shards.schema.versions import read_json

        path = self.folder / "folds.json"
        if not path.is_file():
            raise UserError(f"{path}: no such file; finetune with fold='all' writes it when every fold is finished")
        values: dict[str, Any] = read_json(path, "fold results")
        return values

    def _run(self, fold: int | None) -> Path:
        number = next(iter(self.folds)) if fold is None and len(self.folds) == 1 else fold
        if number is None or number not in self.folds:
            raise UserError(f"fold {fold}: this run has {', '.join(map(str, self.folds))}; name one of them")
        return self.folds[number]


@dataclass(frozen=True, kw_only=True)
class StageOptions:
    """What a stage that learns from labels may have besides its data and its recipe."""

    fold: FoldChoice = 1  # number of the fold, or "all" for each of them in a folder of `out`
    model: Path | str | None = None  # saved model or finished run to start from, with {fold}; None: random weights
    device: str = "auto"  # auto, cuda, mps or cpu
    cache: Path | None = None  # folder that keeps what was read from an address
    on_run: OnRun | None = None  # called on the first process with each run's folder, and whether it is finished


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(StageOptions):
    """What a fine-tuning may have besides its data and its recipe."""

    train_on: str | None = None  # another data set to train on, with labels aligned; `dataset` is then only tested on


@dataclass(frozen=True, kw_only=True)
class PosttrainOptions(StageOptions):
    """What a post-pre-training may have besides its data and its recipe."""

    join: Sequence[str] = ()  # data sets of your own that join the hybrid


def finetune(
    dataset: str,
    shards: LabelledFolders,
    out: Path | str,
    recipe: str | Path,
    *,
    settings: Settings = (),
    options: FinetuneOptions = FinetuneOptions(),
) -> StageRun:
    """Fine-tune a model, test it on a fold of a data set or on each, and return the run.

    Called again with the same arguments it continues a run that was stopped, and returns a finished one. Ctrl-C, or the
    stop button of a notebook, saves the run after its step and raises KeyboardInterrupt.

    Args:
        dataset: name of a data set, or a file that describes one.
        shards: folder or address of packed labelled shards, or several.
        out: folder of the run, or its address in a store.
        recipe: name of a shipped recipe of this stage, or a file.
        settings: settings that differ from the recipe.
        options: fold, start, device, cache and another data set to train on.

    Raises:
        UserError: the data, the settings, `out` or the machine do not allow this run; the message says why.
        FaultError: damaged shards.
    """
    from avf_training.tasks.catalog import find_dataset
    from avf_training.tasks.task import fold_task, transfer_task

    data = find_dataset(dataset)
    source = find_dataset(options.train_on) if options.train_on else None
    if source and options.fold == "all":
        raise UserError("--train-on has a single fold, all clips of --dataset; leave --fold out")

    def make_task(recipe: "FinetuneRecipe", reader: "LabelledShards", number: int) -> "Task":
        if source:
            return transfer_task(source, data, reader, recipe.modalities, recipe.validation_share)
        return fold_task(data, reader, number, recipe.modalities, recipe.validation_share)

    stage = _Stage(
        data=data, shards=shards, recipe=_load("finetune", recipe, settings), make_task=make_task, options=options
    )
    run = stage.train(out)
    if options.fold == "all" and run.finished:
        stage.write_summary(run)
    return run


def posttrain(
    target: str,
    shards: LabelledFolders,
    out: Path | str,
    recipe: str | Path,
    *,
    settings: Settings = (),
    options: PosttrainOptions = PosttrainOptions(),
) -> StageRun:
    """Train a pre-trained model on the hybrid of all labelled data sets, and return the run; as `finetune` otherwise.

    target: data set whose test fold stays unseen.
    """
    from avf_training.tasks.catalog import find_dataset
    from avf_training.tasks.hybrid import hybrid_task

    joined = [find_dataset(name) for name in options.join]
    data = find_dataset(target)

    def make_task(recipe: "FinetuneRecipe", reader: "LabelledShards", number: int) -> "Task":
        share = recipe.validation_share
        return hybrid_task(data, reader, number, modalities=recipe.modalities, validation_share=share, joining=joined)

    stage = _Stage(
        data=data, shards=shards, recipe=_load("posttrain", recipe, settings), make_task=make_task, options=options
    )
    return stage.train(out)


def parse_fold(text: int | str) -> FoldChoice:
    """Return the number of a fold, or "all". Raises UserError."""
    if text == "all":
        return "all"
    if not str(text).isdecimal():
        raise UserError(f"{text!r} is neither a number nor all")
    return int(text)


def read_test_result(path: Path) -> dict[str, Any]:
    """Return RUN/result.json. Raises UserError where it is damaged or of another command."""
    from avf_training.framewise.json_records import add_remedy, read_json_record

    remedy = "remove it and run the same command again, which tests the models and writes it anew"
    result = read_json_record(path, "test result", remedy)
    with add_remedy(path, remedy):
        fields = Fields.from_value(result, str(path))
        for name in ("task", "selection_metric"):
            fields.text(name)
        for name in ("test", "validation"):
            fields.integer(name)
        protocols = fields.table("protocols")
        for name in protocols.values:
            protocols.table(name).optional_number("step")
            protocols.table(name).optional_number("selection_score")
    return result


@dataclass(frozen=True, kw_only=True)
class _Stage:
    """A stage on its data. Its methods run on every rank."""

    data: "Dataset"
    shards: LabelledFolders
    recipe: "FinetuneRecipe"
    make_task: MakeTask  # of the recipe, the data and the number of the fold
    options: StageOptions

    def train(self, out: Path | str) -> StageRun:
        """Train on a fold, or on each in a folder of its own. Every rank returns the same."""
        fold, folder = parse_fold(self.options.fold), _check_folder(out)
        runs = {fold: folder} if fold != "all" else self._folders_of_folds(folder)
        reached: dict[int, Path] = {}
        try:
            for number, run in runs.items():
                reached[number] = run
                if not self._train_fold(number, run):
                    return StageRun(folder=folder, folds=reached, finished=False)
        finally:
            push(folder)
        return StageRun(folder=folder, folds=reached, finished=True)

    def write_summary(self, run: StageRun) -> None:
        """Write the scores of all folds, on one rank."""
        from avf_shards.schema.versions import stamp
        from avf_shards.system import durable_io

        from avf_training.distributed.environment import launched_world
        from avf_training.finetuning.all_folds import FOLDS, fold_summary

        if launched_world().rank:
            return
        summary = fold_summary(self.data, run.folds, self._read().units(self.data))
        text = json.dumps(stamp(summary, "fold results"), indent=1, sort_keys=True) + "\n"
        durable_io.replace_file(run.folder / FOLDS, text.encode())

    def _read(self) -> "LabelledShards":
        from avf_training.data.storage import StorageConfig
        from avf_training.tasks.labelled_shards import LabelledShards

        folders = [self.shards] if isinstance(self.shards, Path | str) else self.shards
        return LabelledShards(folders, StorageConfig(cache=self.options.cache))

    def _folders_of_folds(self, out: Path) -> dict[int, Path]:
        """Return the folder of the run of each fold, by its number."""
        from avf_training.finetuning.all_folds import fold_folder
        from avf_training.tasks.folds import make_folds
        from avf_training.tasks.labelled_clips import read_labelled_clips

        labelled = read_labelled_clips(self._read(), self.data)
        return {fold.number: fold_folder(out, fold.number) for fold in make_folds(self.data, labelled.clips)}

    def _train_fold(self, number: int, out: Path) -> bool:
        """Train one run. Return whether it is finished; every rank returns the same."""
        from avf_shards.cli.logging_setup import show_progress

        from avf_training.distributed.environment import launched_world
        from avf_training.trainer.saved_model import require_model

        model = self.options.model
        start = None if model is None else Path(str(model).replace("{fold}", str(number)))
        if start:
            require_model(start)
        rank = launched_world().rank
        if rank == 0:
            show_progress("reading the records of the clips")
        task = self.make_task(self.recipe, self._read(), number)
        if rank == 0:
            show_progress("loading the model")
        # After what is refused quickly: this loads torch.
        from avf_training.distributed.device_choice import resolve_device
        from avf_training.finetuning.finetune import train_stage
        from avf_training.trainer.learning_curve import draw_learning_curve

        device = resolve_device(self.options.device)
        finished = train_stage(self.recipe, task, start, out, device) != out  # decided by all ranks
        if rank == 0:
            draw_learning_curve(out)
            if self.options.on_run is not None:
                self.options.on_run(out, finished)
        return finished


def _load(stage: "LabelledStage", recipe: str | Path, settings: Settings) -> "FinetuneRecipe":
    from avf_shards.settings.override_words import set_words

    from avf_training.config.finetune import load_finetune_recipe

    return load_finetune_recipe(stage, str(recipe), set_words(settings))


def _check_folder(out: Path | str) -> Path:
    from avf_shards.cli.paths import output_folder

    if is_store_address(str(out)):
        from avf_shards.stores.opening import open_location

        return open_location(out)
    try:
        return output_folder(str(out))
    except argparse.ArgumentTypeError as error:
        raise UserError(str(error)) from None
