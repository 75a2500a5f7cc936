"""The plan of an ensemble: a YAML file that lists the members and says how they become one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from avf_shards.errors import UserError
from avf_shards.settings.config import refuse
from avf_shards.settings.yaml_settings import read_settings

from avf_training.framewise.ensemble.dirichlet_fusion import MOST_ENTROPY_NATS
from avf_training.framewise.ensemble.forest_stacking import TREES_OF_CLASSES, TREES_OF_REGRESSION
from avf_training.framewise.labels.tasks import TASKS_OF_FRAMES, FrameLabelTask
from avf_training.framewise.postprocessing.smoothing import SIGMA_GRID, GaussianEdges
from avf_training.framewise.protocol import ProtocolName, ProtocolOptions, choose_protocol

SCHEMA = "avf-foundry frame ensemble plan"
VERSION = 1
TimeAxis = Literal["frames", "hundredths"]
MethodName = Literal["mean", "vote", "dirichlet", "forest"]
FITTED_METHODS = ("dirichlet", "forest")  # which need the answers of every member
TieRule = Literal["mean_probability", "lowest", "first_model", "off", "on"]
_TIES = {"expr": ("mean_probability", "lowest", "first_model"), "au": ("mean_probability", "off", "on")}


@dataclass(frozen=True, kw_only=True)
class EnsembleMember:
    """One model, or an ensemble of an earlier plan."""

    name: str  # folder below PREDICTIONS
    # Fold that it was not trained on, from 1, of the table `folds`; null: it was trained by the owners' sets.
    fold: int | None = None
    # Sets that it was trained on: `all` is training and validation, so that no labelled video of either is new to it.
    trained_on: Literal["train", "all"] = "train"
    # Videos that it was trained on: `reaction` answers videos of that scene, all others answer the rest.
    scene: Literal["all", "reaction"] = "all"
    weight: float = 1.0  # in a mean
    stream: Literal["visual", "audio", "audio_visual"] = "visual"  # what it looks at; `audio` obeys audio_entropy_nats

    def __post_init__(self) -> None:
        refuse(
            (not self.name or "/" in self.name, f"name {self.name!r} is no name of a folder"),
            (self.fold is not None and self.fold < 1, f"fold {self.fold} must be 1 or above"),
            (self.weight <= 0, f"weight {self.weight:g} must be above 0; leave the member out instead"),
            (
                self.fold is not None and self.trained_on == "all",
                f"fold {self.fold} and trained_on all contradict each other; a model of a fold has not seen that fold",
            ),
        )


@dataclass(frozen=True, kw_only=True)
class EnsembleMethod:
    """How several answers become one."""

    kind: MethodName = "mean"
    # Of votes. expr: mean_probability (then the lowest class), lowest, first_model; au: mean_probability, off, on.
    ties: TieRule = "mean_probability"
    matrices: int = 1000  # of weights that dirichlet draws
    seed: int = 0  # of dirichlet and forest
    trees: tuple[int, ...] = ()  # sizes of forests that are tried; empty: those of SUN

    def __post_init__(self) -> None:
        refuse(
            (self.matrices < 1, f"matrices {self.matrices} must be at least 1"),
            (not 0 <= self.seed < 2**32, f"seed {self.seed} must lie between 0 and {2**32 - 1}"),
            *((size < 1, f"trees {size} must be at least 1") for size in self.trees),
        )

    def forest_sizes(self, task: FrameLabelTask) -> tuple[int, ...]:
        """Return the sizes of forests that are tried."""
        return self.trees or (TREES_OF_REGRESSION if task.name == "va" else TREES_OF_CLASSES)


@dataclass(frozen=True, kw_only=True)
class EnsembleSmoothing:
    """How the likelihoods of each member are smoothed over time before they become one."""

    kind: Literal["none", "gaussian", "hamming"] = "none"
    sigma_frames: float | None = None  # of the Gaussian; null: the best of sigma_grid in development
    sigma_grid: tuple[float, ...] = SIGMA_GRID
    # Of the Hamming window; null: half a second, by the option smoothing_window of the protocol.
    window_s: float | None = None
    window_grid_s: tuple[float, ...] = ()  # windows that are tried in development; empty: window_s alone
    # Outside the video. null: reflect for the Gaussian; for Hamming renormalise, or zero by the protocol authors_code.
    edges: GaussianEdges | None = None

    def __post_init__(self) -> None:
        numbers = [*self.sigma_grid, *([] if self.sigma_frames is None else [self.sigma_frames])]
        windows = [*self.window_grid_s, *([] if self.window_s is None else [self.window_s])]
        refuse(
            (not self.sigma_grid, "sigma_grid must not be empty"),
            *((not 0 <= value <= 1000, f"sigma {value:g} must lie between 0 and 1000 frames") for value in numbers),
            *((not 0 < value <= 60, f"window {value:g} must lie between 0 and 60 s") for value in windows),
            (
                self.kind == "hamming" and self.edges == "reflect",
                "edges reflect is for the Gaussian; take renormalise or zero",
            ),
            (bool(self.window_grid_s) and self.window_s is not None, "window_s and window_grid_s exclude each other"),
        )


@dataclass(frozen=True, kw_only=True)
class EnsemblePlan:
    """A whole plan."""

    schema: str  # what the file is
    schema_version: int
    task: Literal["va", "expr", "au"]
    name: str  # folder of the ensemble's predictions below OUT
    members: tuple[EnsembleMember, ...]  # in the order that ties of `first_model` follow
    method: EnsembleMethod = field(default_factory=EnsembleMethod)
    smoothing: EnsembleSmoothing = field(default_factory=EnsembleSmoothing)
    # Frames that are answered: all from 1 to the last prediction, between predictions by a straight line, or only those
    # that a member has a prediction of.
    frames: Literal["every", "predicted"] = "every"
    # Longest gap in the predictions of a member that a straight line is drawn through; in longer ones the prediction
    # before holds, as in a submission. null: any.
    most_interpolated_s: float | None = None
    # Interpolation over the numbers of frames, or over times rounded to hundredths of a second, as on SUN's grid of
    # 10 ms; null: by the protocol.
    interpolate_over: TimeAxis | None = None
    folds: str | None = None  # file of avf-train frame-folds, from the plan's folder; members with a fold need it
    scenes: str | None = None  # table with the columns video and scene; null: the scenes that the labels name
    # Of expr: rows of audio members above this entropy, in nats, count nothing. SUN: 1.8 with dirichlet; null: all.
    audio_entropy_nats: float | None = None
    protocol: ProtocolName = "ours"
    options: Mapping[str, Any] = field(default_factory=dict)  # single options of the protocol

    def __post_init__(self) -> None:
        refuse(
            (self.schema != SCHEMA, f"schema {self.schema!r} must be {SCHEMA!r}"),
            (
                self.schema_version != VERSION,
                f"schema_version {self.schema_version} is none that this program understands, {VERSION}; update "
                "avf-foundry",
            ),
            (not self.name or "/" in self.name, f"name {self.name!r} is no name of a folder"),
            (
                self.most_interpolated_s is not None and not 0 <= self.most_interpolated_s < float("inf"),
                f"most_interpolated_s {self.most_interpolated_s} must be seconds from 0 on, or null",
            ),
            *self._member_rules(),
            *self._method_rules(),
            *self._protocol_rules(),
        )

    @property
    def label_task(self) -> FrameLabelTask:
        """Return the task."""
        return TASKS_OF_FRAMES[self.task]

    @property
    def clock(self) -> TimeAxis:
        """Return what is interpolated over."""
        return self.interpolate_over or ("hundredths" if self.protocol == "authors_code" else "frames")

    @property
    def protocol_options(self) -> ProtocolOptions:
        """Return every option of the protocol."""
        return choose_protocol(self.protocol, self.options)

    def _member_rules(self) -> list[tuple[bool, str]]:
        names = [member.name for member in self.members]
        repeated = sorted({name for name in names if names.count(name) > 1})
        return [
            (not names, "members must not be empty"),
            (bool(repeated), f"members: {', '.join(repeated)} is listed twice; raise its weight instead"),
            (self.name in names, f"name {self.name!r} is that of a member too"),
            (
                self.folds is None and any(member.fold is not None for member in self.members),
                "folds: missing, and a member names a fold; name the file of avf-train frame-folds",
            ),
            (
                bool(names) and all(member.scene == "reaction" for member in self.members),
                "members: all are of the scene reaction, and nothing answers other videos",
            ),
        ]

    def _method_rules(self) -> list[tuple[bool, str]]:
        kind, entropy = self.method.kind, self.audio_entropy_nats
        split = any(member.fold is not None or member.scene != "all" for member in self.members)
        weighted = any(member.weight != 1 for member in self.members)
        return [
            (kind == "vote" and self.task == "va", "method: vote needs classes; va takes mean, dirichlet or forest"),
            (
                kind == "forest" and self.task == "au",
                "method: forest is of va and expr; au takes mean or vote",
            ),
            (
                kind == "vote" and self.task in _TIES and self.method.ties not in _TIES[self.task],
                f"method: ties {self.method.ties} are not of {self.task}; take {', '.join(_TIES.get(self.task, ()))}",
            ),
            (
                kind in FITTED_METHODS and split,
                f"method: {kind} needs every member on every video, so none of a fold or scene; make an ensemble "
                "of those first, and name it as a member",
            ),
            (kind != "mean" and weighted, f"members: a weight is of the method mean, not of {kind}"),
            (
                entropy is not None and self.task != "expr",
                f"audio_entropy_nats is of expr, as {MOST_ENTROPY_NATS}, and this is {self.task}",
            ),
            (entropy is not None and kind == "vote", "audio_entropy_nats: a vote has no rows to leave out; take mean"),
            (entropy is not None and not entropy > 0, f"audio_entropy_nats {entropy} must be above 0"),
        ]

    def _protocol_rules(self) -> list[tuple[bool, str]]:
        try:
            choose_protocol(self.protocol, self.options)
        except UserError as error:
            return [(True, f"options: {error}")]
        return []


def load_plan(path: Path) -> EnsemblePlan:
    """Read a plan. Raises UserError with a line for each fault, behind the file and its line."""
    return read_settings(path, noun="plan").bind(EnsemblePlan)
