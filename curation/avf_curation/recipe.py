"""Recipes: YAML files that fill frozen dataclasses. `default.yaml` has every value, other recipes what differs."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from avf_shards.config import bind, describe_unknown_key, merge, override, read_table
from avf_shards.errors import UserError
from avf_shards.packing.selection import Selection

from avf_curation.media.clip_config import ClipConfig
from avf_curation.media.types import MediaConfig
from avf_curation.stages.faces import FacesConfig
from avf_curation.stages.gates import GatesConfig
from avf_curation.stages.quality import QualityConfig
from avf_curation.stages.scenes import ScenesConfig
from avf_curation.stages.silence import SilenceConfig
from avf_curation.stages.sync import SyncConfig
from avf_curation.stages.tracking import TrackConfig

DEFAULT = Path(__file__).parent / "recipes" / "default.yaml"


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """Settings that group the inputs of a source and divide them into units of work."""

    group_by: str  # file, directory, or a regular expression on the relative path with one group, the group id
    unit_videos: int  # videos of a unit at most
    min_units: int  # a run of fewer than unit_videos x min_units videos is cut into about this many units
    unit_mb: float  # megabytes of input of a unit at most

    def __post_init__(self) -> None:
        if self.unit_videos < 1 or self.min_units < 1 or self.unit_mb <= 0:
            raise ValueError(
                f"unit_videos {self.unit_videos} and min_units {self.min_units} must be at least 1 and unit_mb "
                f"{self.unit_mb:g} above 0"
            )
        if self.group_by not in ("file", "directory"):
            try:
                groups = re.compile(self.group_by).groups
            except re.error as error:
                raise ValueError(
                    f"group_by {self.group_by!r} is not file, directory or a regular expression: {error}"
                ) from None
            if groups != 1:
                raise ValueError(f"group_by {self.group_by!r} must have one group, it has {groups}")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Settings of the run as a whole: the preferred network, and the limits on units and videos."""

    retinaface: Literal["retinaface_mobilenet", "retinaface_resnet50"]  # which, if both weights are there
    kills: int  # workers that may die on a unit before its videos are isolated
    unit_timeout_s: float  # wall-clock seconds after which a unit is taken for hung
    video_cpu_s: float  # CPU seconds of an isolated video
    video_memory_mb: float  # resident megabytes of an isolated video


@dataclass(frozen=True, kw_only=True)
class SourceSettings:
    """The settings that can differ between sources."""

    plan: PlanConfig  # how inputs are grouped
    media: MediaConfig  # limits on one input
    gates: GatesConfig  # which stages reject and which only measure
    scenes: ScenesConfig  # shot boundaries
    faces: FacesConfig  # face search while screening
    silence: SilenceConfig  # audio level
    track: TrackConfig  # face detection and tracking
    sync: SyncConfig  # offset and confidence of audio against lips
    quality: QualityConfig  # sharpness, frozen and black frames, overlays
    clip: ClipConfig  # size and encoding of the clips


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of a run."""

    defaults: SourceSettings  # of sources that `sources` does not name
    run: RunConfig  # settings that all sources share
    sources: dict[str, SourceSettings]  # source name -> its settings
    values: dict[str, Any]  # the merged tables as read, for the fingerprint
    #: What is selected from a finished run. No part of the fingerprint, so that another quota touches no video.
    hybrid: Selection | None = None

    def settings_for(self, source: str) -> SourceSettings:
        """Return the settings of one source."""
        return self.sources.get(source, self.defaults)


def load_recipe(path: Path | None = None, overrides: Sequence[str] = ()) -> Recipe:
    """Return the default recipe, changed by the recipe at `path`, then by `overrides` ("key=value").

    `path` may be the name of a recipe that comes with the package, as in Path("hybrid"). Raises UserError.
    """
    values = read_table(DEFAULT, yaml.safe_load, yaml.YAMLError)
    if path is not None:
        shipped = DEFAULT.with_name(f"{path.name}.yaml")
        path = shipped if path.name == str(path) and not path.exists() and shipped.is_file() else path
        values = merge(values, read_table(path, yaml.safe_load, yaml.YAMLError))
    for text in overrides:
        values = merge(values, override(text, yaml.safe_load, yaml.YAMLError, "sync.min_confidence=4"))
    return make_recipe(values)


def make_recipe(values: Mapping[str, Any]) -> Recipe:
    """Check the merged tables and return them as a recipe. Raises UserError."""
    selection = values.get("hybrid")
    hybrid = None if selection is None else bind(Selection, selection, "hybrid")
    values = {key: value for key, value in values.items() if key != "hybrid"}
    general = {key: value for key, value in values.items() if key != "sources"}
    names = [field.name for field in dataclasses.fields(SourceSettings)]
    for key in general:
        if key not in (*names, "run"):
            raise UserError(describe_unknown_key(key, key, [*names, "run", "sources", "hybrid"]))
    stages = {key: value for key, value in general.items() if key != "run"}
    per_source = values.get("sources") or {}
    if not isinstance(per_source, Mapping):
        raise UserError(f"sources: expected a table of sources, got {per_source!r}")
    sources = {}
    for name, table in per_source.items():
        key = f"sources.{name}"
        if not isinstance(table, Mapping):
            raise UserError(f"{key}: expected a table of stages, got {table!r}")
        for stage in ("track", "sync"):
            if "backend" in (table.get(stage) or {}):
                raise UserError(f"{key}.{stage}.backend: a run measures all its sources alike; set {stage}.backend")
        sources[str(name)] = bind(SourceSettings, merge(stages, table), key)
    defaults, run = bind(SourceSettings, stages), bind(RunConfig, general.get("run", {}), "run")
    return Recipe(defaults=defaults, run=run, sources=sources, values=dict(values), hybrid=hybrid)
