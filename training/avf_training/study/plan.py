"""The recipe of a study and its runs: rows (models, stages, settings) x data sets x folds x seeds.

A run is one avf-train command with a folder of its own, whose name has a hash of the command's options: rows that have
a run in common share its folder, and the run is trained once.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from avf_shards.errors import UserError
from avf_shards.settings.config import describe_unknown_key, refuse
from avf_shards.settings.yaml_settings import read_settings

from avf_training.config.finetune import SelectionProtocol, load_finetune_recipe
from avf_training.config.pretrain import FOLDER
from avf_training.study.sweep import Sweep, nest_settings, point_name
from avf_training.tasks.catalog import Dataset, find_dataset
from avf_training.tasks.task import transfer_dataset
from avf_training.trainer.run_folder import MODEL

StudyStage = Literal["pretrain", "posttrain", "finetune"]
STAGES: tuple[StudyStage, ...] = ("pretrain", "posttrain", "finetune")
STUDY = "study.yaml"


@dataclass(frozen=True, kw_only=True)
class StudyRow:
    """One row of a study's table: a model and how it is trained."""

    recipe: str  # name of a recipe that each stage has
    stages: tuple[StudyStage, ...]  # in the order of STAGES; the last is finetune
    start: str | None = None  # name of a model given with --model
    # Of every stage that the row trains: av, a (audio) or v (video). A row that starts from a model takes its part.
    modalities: str = "av"
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # stage -> fields, as --set has them
    variant: Mapping[str, Any] = field(default_factory=dict)  # fields of the model preset that every stage changes
    gpus: Mapping[str, int] = field(default_factory=dict)  # stage -> GPUs of a run, one process on each; default: 1
    train_on: str | None = None  # another data set to train on, for a transfer
    without: str | None = None  # row that lacks one thing of this row; the two are compared
    published_as: str | None = None  # table of the papers to print beside
    sweep: Sweep | None = None  # settings that take several values; each combination becomes a row of its own
    swept_from: str | None = None  # row whose sweep made this one; not for files
    point: Mapping[str, Any] = field(default_factory=dict)  # values of a sweep that this row has; not for files

    def __post_init__(self) -> None:
        in_order = [stage for stage in STAGES if stage in self.stages]
        refuse(
            (
                not self.stages or list(self.stages) != in_order,
                f"stages {list(self.stages)} must be some of {', '.join(STAGES)}, in that order",
            ),
            (self.stages[-1:] != ("finetune",), "the last of stages must be finetune: a study compares what is tested"),
            (
                self.start is not None and "pretrain" in self.stages,
                f"start {self.start!r} and a stage `pretrain` exclude each other; a row starts from a model or "
                "pre-trains its own",
            ),
            (
                self.sweep is not None and self.sweep.stage not in self.stages,
                f"sweep of {self.sweep and self.sweep.stage}, which is none of the stages {', '.join(self.stages)}",
            ),
            *((stage not in STAGES, f"settings of {stage!r}, which is no stage") for stage in sorted(self.settings)),
            *((stage not in STAGES, f"gpus of {stage!r}, which is no stage") for stage in sorted(self.gpus)),
            *((count < 1, f"gpus of {stage}: {count} must be at least 1") for stage, count in self.gpus.items()),
        )


@dataclass(frozen=True, kw_only=True)
class Study:
    """The recipe of a study."""

    title: str  # printed above the page
    rows: Mapping[str, StudyRow]  # name -> row
    datasets: tuple[str, ...]  # names, or files of rows of the catalog
    folds: tuple[int, ...] = ()  # empty: all folds
    seeds: tuple[int, ...] = (0,)  # each row is trained once with each seed
    join: tuple[str, ...] = ()  # files of rows that join the labelled hybrids
    # Protocol whose scores are compared. By `test_best` (as in the papers) and by `last`, runs train on whole training
    # folds: no clips are kept back to select the epoch by, unless a row or --set sets validation_share.
    selected_by: SelectionProtocol = "validation"
    note: str = ""  # printed on the page

    def __post_init__(self) -> None:
        refuse(*((not getattr(self, name), f"{name} must not be empty") for name in ("rows", "datasets", "seeds")))
        sweeps = any(row.sweep is not None for row in self.rows.values())  # `expand_sweeps` comes here again
        compared = {name: row.without for name, row in self.rows.items() if row.without is not None and not sweeps}
        refuse(
            *(
                (
                    other not in self.rows,
                    describe_unknown_key(f"rows.{name}.without", other, list(self.rows), f"row {other!r}"),
                )
                for name, other in compared.items()
            )
        )


def select_rows(study: Study, names: Sequence[str]) -> Study:
    """Return a study of some of its rows, or of all where none is named; a row that is compared needs both.

    The name of a row with a sweep stands for all its combinations.

    Raises UserError that names the nearest known row.
    """
    swept = {row.swept_from for row in study.rows.values() if row.swept_from is not None}
    for name in names:
        if name not in study.rows and name not in swept:
            raise UserError(describe_unknown_key("--row", name, [*study.rows, *swept], f"row {name!r}"))
    chosen = {name: row for name, row in study.rows.items() if name in names or row.swept_from in names}
    rows = {
        name: row if row.without is None or row.without in chosen else replace(row, without=None)
        for name, row in chosen.items()
    }
    return replace(study, rows=rows) if names else study


def expand_sweeps(study: Study) -> Study:
    """Return a study in which each row with a sweep is a row for each of its combinations.

    Raises UserError where rows would have the same name, and where a row is compared with one that is no row any more.
    """
    rows: dict[str, StudyRow] = {}
    for name, row in study.rows.items():
        points = [{}] if row.sweep is None else row.sweep.points()
        for point in points:
            swept = row
            if row.sweep is not None:
                settings = {
                    **row.settings,
                    row.sweep.stage: nest_settings(row.settings.get(row.sweep.stage, {}), point),
                }
                swept = replace(row, settings=settings, sweep=None, swept_from=name, point=point)
            full_name = point_name(name, point)
            if full_name in rows:
                raise UserError(f"rows.{full_name}: two rows have this name; name one of them otherwise")
            rows[full_name] = swept
    try:
        return replace(study, rows=rows)
    except ValueError as error:
        raise UserError(str(error)) from None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of the study."""

    stage: StudyStage  # subcommand of avf-train
    out: Path  # folder of the run
    argv: tuple[str, ...]  # the whole command
    needs: tuple[Path, ...]  # folders of the runs that it starts from
    done: Path  # file that exists when the run is finished
    gpus: int = 1  # that the run asks for, with a process on each; 0: it computes on the CPU

    @property
    def recipe(self) -> str:
        """Name or file of the recipe."""
        return self.argv[self.argv.index("--recipe") + 1]

    @property
    def overrides(self) -> list[str]:
        """Values of the --set options."""
        return [value for option, value in pairwise(self.argv) if option == "--set"]

    def option(self, name: str) -> str | None:
        """Return the value of an option that is given at most once; None where it is not given."""
        return self.argv[self.argv.index(name) + 1] if name in self.argv else None

    @property
    def name(self) -> str:
        """Stage and folder name, for messages."""
        return f"{self.stage} {self.out.name}"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One tested run of the matrix."""

    row: str  # name of the row in the study
    data: Dataset  # data set that is tested; of a transfer, in the labels that both data sets have
    fold: int  # number of the fold, from 1
    seed: int  # of the recipe
    out: Path  # folder of the run


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Every run of a study."""

    jobs: tuple[Job, ...]  # each after the jobs that it needs
    cells: tuple[Cell, ...]  # the tested ones


def load_study(name: str) -> Study:
    """Return the study of that name in training/recipes/study, or in that file. Raises UserError."""
    known = {path.stem: path for path in sorted((FOLDER / "study").glob("*.yaml"))}
    path = known.get(name) or Path(name)
    if not path.is_file():
        raise UserError(f"{name}: no such file, and none of {', '.join(known)}")
    return expand_sweeps(read_settings(path, path.name if path.is_relative_to(FOLDER) else None).bind(Study))


@dataclass(frozen=True, kw_only=True)
class StudyInputs:
    """Shards, start models and overrides that the runs of a study share."""

    shards: Sequence[str]  # labelled shards
    unlabelled: Sequence[str]  # for the rows that pre-train; one at most
    starts: Mapping[str, Path]  # model name -> a pre-trained model
    folds_of: Mapping[str, int]  # data set -> number of its folds in these shards
    overrides: Sequence[str] = ()  # settings, as in finetune:epochs=30
    device: str | None = None  # cpu or cuda; None: cuda where there is a GPU


def study_matrix(study: Study, out: Path, inputs: StudyInputs) -> Matrix:
    """Return all runs of a study, stage by stage. Raises UserError that names a missing start model or missing shards.

    The first stages come first: others wait for them, and one that starts late leaves GPUs idle at the end.
    """
    jobs: dict[Path, Job] = {}
    cells: list[Cell] = []
    for name, row in study.rows.items():
        if row.start is not None and row.start not in inputs.starts:
            raise UserError(f"rows.{name}: starts from {row.start!r}; give it with --model {row.start}=MODEL")
        if "pretrain" in row.stages and len(inputs.unlabelled) != 1:
            raise UserError(f"rows.{name}: has a stage pretrain; give its shards with --unlabelled SHARDS, once")
        _refuse_unscored(name, _Chain(out=out, inputs=inputs, study=study, row=row, seed=study.seeds[0]))
    for dataset in study.datasets:
        data = find_dataset(dataset)
        for fold in study.folds or range(1, inputs.folds_of[dataset] + 1):
            for seed in study.seeds:
                for name, row in study.rows.items():
                    if row.train_on is not None and fold > 1:
                        continue  # a transfer tests all clips in a single fold
                    chain = _Chain(out=out, inputs=inputs, study=study, row=row, seed=seed)
                    before = inputs.starts[row.start] if row.start is not None else None
                    for stage in row.stages:
                        job = chain.job(stage, dataset, data, fold, before=before)
                        jobs.setdefault(job.out, job)
                        before = job.out
                    assert before is not None
                    cells.append(Cell(row=name, data=_tested_data(row, data), fold=fold, seed=seed, out=before))
    in_order = sorted(jobs.values(), key=lambda job: STAGES.index(job.stage))  # stable: rows as the study has them
    return Matrix(jobs=tuple(in_order), cells=tuple(cells))


def _refuse_unscored(name: str, chain: "_Chain") -> None:
    """Raise UserError where a study selects epochs by the test clips, and the runs of a row do not score them."""
    if chain.study.selected_by != "test_best":
        return
    if not load_finetune_recipe("finetune", chain.row.recipe, chain.settings("finetune")).score_test:
        raise UserError(
            f"rows.{name}: score_test false leaves nothing to select by test_best; take selected_by: validation"
        )


def _tested_data(row: StudyRow, data: Dataset) -> Dataset:
    """Return the data set whose labels a row's runs are scored by: of a transfer, the labels that both sets have."""
    if row.train_on is None:
        return data
    source = find_dataset(row.train_on)
    return replace(transfer_dataset(source, data), title=f"{source.title} to {data.title}")


@dataclass(frozen=True, kw_only=True)
class _Chain:
    """The runs of one row and seed, each starting from the one before."""

    out: Path  # folder of the study
    inputs: StudyInputs  # shards, start models and overrides of the study
    study: Study  # recipe of the study
    row: StudyRow  # row that the runs belong to
    seed: int  # of the recipes of all stages

    def job(self, stage: StudyStage, dataset: str, data: Dataset, fold: int, *, before: Path | None) -> Job:
        """Return the run of a stage.

        Args:
            before: the model or run that it starts from.
        """
        options = ["--recipe", self.row.recipe, *_repeat_option("--set", self.settings(stage))]
        if stage == "pretrain":
            options += ["--shards", self.inputs.unlabelled[0]]
        else:
            options += _repeat_option("--shards", self.inputs.shards)
            options += ["--target" if stage == "posttrain" else "--dataset", dataset, "--fold", str(fold)]
            options += _repeat_option("--join", self.study.join) if stage == "posttrain" else []
            if stage == "finetune" and self.row.train_on is not None:
                options += ["--train-on", self.row.train_on]
        if before is not None:
            options += ["--model", str(before)]
        prefix = "" if stage == "pretrain" else f"{data.name}-fold{fold}-"
        digest = hashlib.sha256(json.dumps([stage, *options]).encode()).hexdigest()[:8]
        folder = self.out / "runs" / stage / f"{prefix}{Path(self.row.recipe).stem}-seed{self.seed}-{digest}"
        # The device is no part of the digest: a study continues from the same runs on another machine.
        device = ["--device", self.inputs.device] if self.inputs.device else []
        return Job(
            stage=stage,
            out=folder,
            argv=("avf-train", stage, *options, *device, "--out", str(folder)),
            needs=(before,) if before is not None and before.is_relative_to(self.out) else (),
            done=folder / MODEL / "config.json" if stage == "pretrain" else folder / "result.json",
            # GPUs are no part of the digest either: the same run continues on more or fewer.
            gpus=0 if self.inputs.device == "cpu" else self.row.gpus.get(stage, 1),
        )

    def settings(self, stage: StudyStage) -> list[str]:
        """Return the values of the --set options of a stage: those of the row first, then the user's, which win."""
        shared = {} if stage == "pretrain" or self.study.selected_by == "validation" else {"validation_share": 0}
        settings = {**shared, **self.row.settings.get(stage, {}), "seed": self.seed}
        if self.row.variant:
            settings["variant"] = self.row.variant
        if self.row.modalities != "av":
            settings["modalities"] = self.row.modalities
        texts = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
        texts += [text for text in self.inputs.overrides if _applies_to(text, stage)]
        return [text.partition(":")[2] if _names_stage(text) else text for text in texts]


def _repeat_option(option: str, values: Sequence[str]) -> list[str]:
    return [part for value in values for part in (option, value)]


def _names_stage(text: str) -> bool:
    return text.partition(":")[0] in STAGES


def _applies_to(text: str, stage: StudyStage) -> bool:
    """Return whether an override is for a stage: `finetune:epochs=30` names one, `epochs=30` is for all."""
    return text.startswith(f"{stage}:") or not _names_stage(text)
