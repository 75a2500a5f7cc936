"""A study's recipe and its runs: rows (models, stages, settings) x data sets x folds x seeds, each run made once.

A run is one avf-train command with a folder of its own, named by what it is; rows share the runs they have in common.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from avf_shards.config import bind, read_table, unknown_key
from avf_shards.errors import UserError

from avf_training.config.pretrain import FOLDER
from avf_training.tasks.catalog import Dataset, find_dataset
from avf_training.trainer.run_folder import MODEL

StudyStage = Literal["pretrain", "posttrain", "finetune"]
ORDER: tuple[StudyStage, ...] = ("pretrain", "posttrain", "finetune")
STUDY = "study.yaml"


@dataclass(frozen=True, kw_only=True)
class StudyRow:
    """One line of a study's table. recipe: of every stage, of that name among the stage's. start: name of a model
    given with --start. settings: stage -> fields, as --set has them. variant: fields of the model that are changed in
    every stage. train_on: another data set, for a transfer. without: name of the row that lacks one thing of this one,
    to be compared with. published_as: table of the papers to be set beside.
    """

    recipe: str
    stages: tuple[StudyStage, ...]
    start: str | None = None
    modalities: str = "av"
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    variant: Mapping[str, Any] = field(default_factory=dict)
    train_on: str | None = None
    without: str | None = None
    published_as: str | None = None

    def __post_init__(self) -> None:
        if not self.stages or list(self.stages) != [stage for stage in ORDER if stage in self.stages]:
            raise ValueError(f"stages {list(self.stages)} must be some of {', '.join(ORDER)}, in that order")
        if self.stages[-1] != "finetune":
            raise ValueError("the last stage must be finetune: a study compares what is tested")
        if self.start is not None and "pretrain" in self.stages:
            raise ValueError(f"start {self.start!r} and a stage `pretrain` are two beginnings")
        unknown = set(self.settings) - set(ORDER)
        if unknown:
            raise ValueError(f"settings of {sorted(unknown)[0]!r}, which is no stage")


@dataclass(frozen=True, kw_only=True)
class Study:
    """datasets: names, or files of rows of yours. folds: empty takes all. join: rows of yours that enter hybrids."""

    title: str
    rows: Mapping[str, StudyRow]
    datasets: tuple[str, ...]
    folds: tuple[int, ...] = ()
    seeds: tuple[int, ...] = (0,)
    join: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if not self.rows or not self.datasets or not self.seeds:
            raise ValueError("rows, datasets and seeds must not be empty")
        for name, row in self.rows.items():
            if row.without is not None and row.without not in self.rows:
                place, kind = f"rows.{name}.without", f"row {row.without!r}"
                raise ValueError(unknown_key(place, row.without, list(self.rows), kind))


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run. needs: folders of runs that it starts from. done: the file that is there when it is."""

    stage: StudyStage
    out: Path
    argv: tuple[str, ...]
    needs: tuple[Path, ...]
    done: Path

    @property
    def name(self) -> str:
        return f"{self.stage} {self.out.name}"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One tested run of the matrix."""

    row: str
    data: Dataset
    fold: int
    seed: int
    out: Path


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Every run of a study, seed by seed, each after what it needs; and which of them are cells of its table."""

    jobs: tuple[Job, ...]
    cells: tuple[Cell, ...]


def load_study(name: str) -> Study:
    """The study of that name in training/recipes/study, or at that path. Raises UserError."""
    known = {path.stem: path for path in sorted((FOLDER / "study").glob("*.yaml"))}
    path = known.get(name) or Path(name)
    if not path.is_file():
        raise UserError(f"{name}: no such file, and none of {', '.join(known)}")
    return bind(Study, read_table(path, yaml.safe_load, yaml.YAMLError))


@dataclass(frozen=True, kw_only=True)
class StudyInputs:
    """What the runs of a study are given."""

    shards: Sequence[str]  # labelled, packed with the test folds
    unlabelled: Sequence[str]  # for the rows that pre-train; one at most
    starts: Mapping[str, Path]  # model name -> a pre-trained model
    folds_of: Mapping[str, int]  # data set -> how many folds it has here
    overrides: Sequence[str] = ()  # settings, as in finetune:epochs=30
    device: str | None = None


def study_matrix(study: Study, out: Path, inputs: StudyInputs) -> Matrix:
    """All runs. Raises UserError naming what is missing."""
    jobs: dict[Path, Job] = {}
    cells: list[Cell] = []
    for name, row in study.rows.items():
        if row.start is not None and row.start not in inputs.starts:
            raise UserError(f"rows.{name}: starts from {row.start!r}; give it with --start {row.start}=MODEL")
        if "pretrain" in row.stages and len(inputs.unlabelled) != 1:
            raise UserError(f"rows.{name}: has a stage pretrain; give its shards with --unlabelled SHARDS, once")
    for title in study.datasets:
        data = find_dataset(title)
        for fold in study.folds or range(1, inputs.folds_of[title] + 1):
            for seed in study.seeds:
                for name, row in study.rows.items():
                    chain = _Chain(out=out, inputs=inputs, row=row, seed=seed)
                    before = inputs.starts[row.start] if row.start is not None else None
                    for stage in row.stages:
                        job = chain.job(stage, title, data, fold, before=before, join=study.join)
                        jobs.setdefault(job.out, job)
                        before = job.out
                    assert before is not None
                    cells.append(Cell(row=name, data=data, fold=fold, seed=seed, out=before))
    return Matrix(jobs=tuple(jobs.values()), cells=tuple(cells))


@dataclass(frozen=True, kw_only=True)
class _Chain:
    """The runs of one row, one after the other."""

    out: Path
    inputs: StudyInputs
    row: StudyRow
    seed: int

    def job(
        self, stage: StudyStage, title: str, data: Dataset, fold: int, *, before: Path | None, join: Sequence[str]
    ) -> Job:
        settings = {**self.row.settings.get(stage, {}), "seed": self.seed}
        if self.row.variant:
            settings["variant"] = self.row.variant
        if stage != "pretrain" and self.row.modalities != "av":
            settings["modalities"] = self.row.modalities
        sets = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
        sets += [text for text in self.inputs.overrides if _meant_for(text, stage)]
        sets = [text.partition(":")[2] if _stage_named(text) else text for text in sets]
        what = ["--recipe", self.row.recipe, *(part for text in sets for part in ("--set", text))]
        if stage == "pretrain":
            what += ["--shards", self.inputs.unlabelled[0]]
        else:
            what += [part for folder in self.inputs.shards for part in ("--shards", folder)]
            what += ["--target" if stage == "posttrain" else "--dataset", title, "--fold", str(fold)]
            what += [part for file in join for part in ("--join", file)] if stage == "posttrain" else []
            if stage == "finetune" and self.row.train_on is not None:
                what += ["--train-on", self.row.train_on]
        if before is not None:
            what += ["--from", str(before)]
        named = "" if stage == "pretrain" else f"{data.name}-fold{fold}-"
        short = hashlib.sha256(json.dumps([stage, *what]).encode()).hexdigest()[:8]
        folder = self.out / "runs" / stage / f"{named}{Path(self.row.recipe).stem}-seed{self.seed}-{short}"
        device = ["--device", self.inputs.device] if self.inputs.device else []
        done = folder / MODEL / "config.json" if stage == "pretrain" else folder / "result.json"
        needs = (before,) if before is not None and before.is_relative_to(self.out) else ()
        return Job(
            stage=stage,
            out=folder,
            argv=("avf-train", stage, *what, *device, "--out", str(folder)),
            needs=needs,
            done=done,
        )


def _stage_named(text: str) -> bool:
    return text.partition(":")[0] in ORDER


def _meant_for(text: str, stage: StudyStage) -> bool:
    """Overrides say for which stage they are, as in finetune:epochs=30."""
    return text.startswith(f"{stage}:") or not _stage_named(text)
