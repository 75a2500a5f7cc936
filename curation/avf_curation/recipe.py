"""Recipes: YAML files that fill frozen dataclasses. `default.yaml` has every value, other recipes what differs."""

import dataclasses
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from avf_shards.errors import UserError
from avf_shards.format.content import Content
from avf_shards.format.run_identity import RunIdentity
from avf_shards.packing.selection import Selection
from avf_shards.settings.config import Faults, bind_collecting, describe_unknown_key, merge, refuse
from avf_shards.settings.yaml_settings import YamlSettings, read_settings

from avf_curation.media.clip_config import ClipConfig
from avf_curation.media.types import MediaConfig
from avf_curation.stages.added_settings import drop_stages, extend_settings, list_added_finders, list_added_stages
from avf_curation.stages.added_stages import AddedStage, is_usable, list_stage_names, load_stage
from avf_curation.stages.checks import ALL_STAGES, STAGES_OF, order_stages
from avf_curation.stages.faces import FacesConfig
from avf_curation.stages.gates import GatesConfig
from avf_curation.stages.picture import PictureConfig
from avf_curation.stages.quality import QualityConfig
from avf_curation.stages.scenes import ScenesConfig
from avf_curation.stages.silence import SilenceConfig
from avf_curation.stages.speaker import SpeakerConfig
from avf_curation.stages.sync import SyncConfig
from avf_curation.stages.tracking import TrackConfig

# The settings that name a backend, as (stage, setting): a run measures all its sources with the same backends.
_BACKENDS = (
    ("silence", "speech_backend"),
    ("track", "backend"),
    ("track", "identity"),
    ("speaker", "backend"),
    ("sync", "backend"),
)
log = logging.getLogger(__name__)
PROJECT = "avf-foundry"
DEFAULT = Path(__file__).parent / "recipes" / "default.yaml"
PICTURES = DEFAULT.with_name("pictures.yaml")
"""The recipe between the default one and the user's, where the sources are corpora of pictures."""


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """Settings that group the inputs of a source and divide them into units of work."""

    group_by: str  # file, directory, or a regular expression on the relative path with one group, the group id
    unit_videos: int  # videos of a unit at most
    min_units: int  # a run of fewer than unit_videos x min_units videos is cut into about this many units
    unit_mb: float  # megabytes of input of a unit at most
    include: tuple[str, ...] = ()  # globs: only inputs that match one, or whose folder does; empty: all
    exclude: tuple[str, ...] = ()  # globs: no inputs that match one, or whose folder does

    def __post_init__(self) -> None:
        refuse(
            (self.unit_videos < 1, f"unit_videos {self.unit_videos} must be at least 1"),
            (self.min_units < 1, f"min_units {self.min_units} must be at least 1"),
            (self.unit_mb <= 0, f"unit_mb {self.unit_mb:g} must be above 0"),
            ("" in self.include, "include has an empty pattern"),
            ("" in self.exclude, "exclude has an empty pattern"),
            (bool(self._group_fault()), f"group_by {self.group_by!r} {self._group_fault()}"),
        )

    def _group_fault(self) -> str:
        """Return what is wrong with `group_by`, or nothing."""
        if self.group_by in ("file", "directory"):
            return ""
        try:
            groups = re.compile(self.group_by).groups
        except re.error as error:
            return f"is not file, directory or a regular expression: {error}"
        return "" if groups == 1 else f"must have one group, it has {groups}"


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
    """The settings that can differ between sources.

    Of a recipe that names stages of installed packages, they are of a subclass that has their tables and gates too.
    """

    added_stages: ClassVar[tuple[AddedStage, ...]] = ()  # of packages, sorted by name

    plan: PlanConfig  # how inputs are grouped
    media: MediaConfig  # limits on one input
    gates: GatesConfig  # which stages reject and which only measure
    scenes: ScenesConfig  # shot boundaries
    faces: FacesConfig  # face search while screening
    silence: SilenceConfig  # audio level
    track: TrackConfig  # face detection and tracking
    speaker: SpeakerConfig  # whether the face speaks
    sync: SyncConfig  # offset and confidence of audio against lips
    quality: QualityConfig  # sharpness, frozen and black frames, overlays
    clip: ClipConfig  # size and encoding of the clips
    picture: PictureConfig | None = None  # None: the inputs are videos; else face pictures

    def __post_init__(self) -> None:
        crops_unseen = self.picture is not None and self.picture.store == "face" and self.gates.faces == "skip"
        unasked = self.gates.speaker == "skip" or self.speaker.backend == "none"
        refuse(
            (crops_unseen, "gates.faces is skip, and picture.store is face: no face is known to crop"),
            (
                self.track.people == "speaker" and unasked,
                "track.people is speaker, and gates.speaker is skip or speaker.backend none: nobody asks who speaks",
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of a run."""

    defaults: SourceSettings  # of sources that `sources` does not name
    run: RunConfig  # settings that all sources share
    sources: dict[str, SourceSettings]  # source name -> its settings
    values: dict[str, Any]  # the merged tables as read, for the fingerprint
    positions: Mapping[str, str] = field(default_factory=dict, compare=False)  # dotted name -> where it was given
    #: What is selected from a finished run. No part of the fingerprint, so that another quota touches no video.
    hybrid: Selection | None = None

    @property
    def content(self) -> Content:
        """What the inputs are, and so what the run's shards hold."""
        return "clips" if self.defaults.picture is None else "pictures"

    def settings_for(self, source: str) -> SourceSettings:
        """Return the settings of one source."""
        return self.sources.get(source, self.defaults)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle a recipe with what packages add as its tables: its types exist in this process alone."""
        if type(self.defaults) is SourceSettings:
            return super().__reduce_ex__(protocol)
        tables = self.values if self.hybrid is None else {**self.values, "hybrid": dataclasses.asdict(self.hybrid)}
        return make_recipe, (tables,)


def load_recipe(
    path: Path | None = None,
    overrides: Sequence[str] = (),
    check: Callable[[YamlSettings, Faults], None] | None = None,
    content: Content = "clips",
) -> Recipe:
    """Return the default recipe, changed by the recipe at `path`, then by `overrides` ("key=value").

    `path` may be the name of a recipe that comes with the package, as in Path("hybrid"). Raises UserError with a line
    for each fault.

    Args:
        check: adds the faults that only the caller knows, so that they are told together with all others.
        content: what the sources are known to hold; pictures: the recipe `pictures` is read before that at `path`.
    """
    return _bind_recipe(_read_recipe(path, overrides, content), check)


def read_source_names(path: Path | None = None, overrides: Sequence[str] = ()) -> list[str]:
    """Return the names that the recipe has under `sources`, whatever else is wrong with it. Raises UserError."""
    sources = _read_recipe(path, overrides).values.get("sources")
    return [str(name) for name in sources] if isinstance(sources, Mapping) else []


def has_pictures(path: Path | None = None, overrides: Sequence[str] = ()) -> bool:
    """Return whether the recipe has a table `picture`: plain folders hold pictures then. Raises UserError."""
    return _read_recipe(path, overrides).values.get("picture") is not None


def _read_recipe(path: Path | None, overrides: Sequence[str], content: Content = "clips") -> YamlSettings:
    settings = read_settings(DEFAULT, DEFAULT.name)
    if content == "pictures":
        settings = settings.merge(read_settings(PICTURES, PICTURES.name))
    if path is not None:
        shipped = DEFAULT.with_name(f"{path.name}.yaml")
        if path.name == str(path) and not path.exists() and shipped.is_file():
            settings = settings.merge(read_settings(shipped, shipped.name))
        else:
            settings = settings.merge(read_settings(path))
    for text in overrides:
        settings = settings.override(text, "sync.min_confidence=4")
    return settings


def make_recipe(values: Mapping[str, Any]) -> Recipe:
    """Check the merged tables and return them as a recipe. Raises UserError with a line for each fault."""
    return _bind_recipe(YamlSettings(values=values))


def read_run_recipe(identity: RunIdentity) -> Recipe:
    """Return the recipe that a run was made with; a setting that came later has its default.

    The run itself is not continued with it: its identity holds the settings as they were.

    Raises UserError for a run of other code, whose settings have other names or other values.
    """
    settings = _without_missing_stages(identity)
    with suppress(UserError):
        return make_recipe(settings)
    try:
        return make_recipe(merge(read_settings(DEFAULT, DEFAULT.name).values, settings))
    except UserError as error:
        import importlib.metadata  # imported here: commands that answer from files start without it

        version, now = identity.versions.get("avf-foundry", "an unknown version"), importlib.metadata.version(PROJECT)
        which = (
            "an earlier or later state of the same version, between two releases" if version == now else f"not {now}"
        )
        raise UserError(
            f"run {identity.fingerprint}: was made by other code (avf-foundry {version}: {which}), whose settings "
            "differ; read it with the commit of that day, whose modules have the digests in run/run.json, or curate "
            f"anew into another folder: {error}"
        ) from None


def _without_missing_stages(identity: RunIdentity) -> dict[str, Any]:
    """Return the settings of a run without those of stages whose package is not installed now, or cannot be used.

    A finished run is read without the package: its ledger has the scores. It is not continued without it.
    """
    settings = identity.settings
    missing = [name for name in stages_of_run(identity) if name not in ALL_STAGES and not is_usable(name)]
    if not missing:
        return settings
    for name in missing:
        package = identity.backends.get(name, "a package")
        log.warning("stage %s: %s is not installed or cannot be used here; its settings are not read", name, package)
    sources = settings.get("sources") or {}
    tables = {name: drop_stages(table, missing) for name, table in sources.items()}
    return {**drop_stages(settings, missing), **({"sources": tables} if sources else {})}


def stages_of_run(identity: RunIdentity) -> tuple[str, ...]:
    """Return the names of a run's stages in their order, those of packages among them, installed or not."""
    tables = {item.name for item in dataclasses.fields(SourceSettings)} | {"run", "sources"}
    return order_stages(list_added_stages(identity.settings, tables), STAGES_OF[identity.content])


def _bind_recipe(settings: YamlSettings, check: Callable[[YamlSettings, Faults], None] | None = None) -> Recipe:
    faults = settings.start_faults()
    values = {key: value for key, value in settings.values.items() if key != "hybrid"}
    selection = settings.values.get("hybrid")
    hybrid = None if selection is None else bind_collecting(Selection, selection, "hybrid", faults)
    stages = {key: value for key, value in values.items() if key not in ("run", "sources")}
    kind = _settings_type(stages, faults)
    defaults = bind_collecting(kind, stages, "", faults)
    run = bind_collecting(RunConfig, values.get("run", {}), "run", faults)
    sources = _bind_sources(settings, stages, kind, faults)
    if check is not None:
        check(settings, faults)
    faults.raise_all()
    assert defaults is not None, "without a fault there are settings"
    assert run is not None, "without a fault there are settings"
    return Recipe(
        defaults=defaults, run=run, sources=sources, values=values, positions=settings.positions, hybrid=hybrid
    )


def _settings_type(stages: dict[str, Any], faults: Faults) -> type[SourceSettings]:
    """Return the class of a source's settings, with the stages of packages that the tables name.

    What is neither is added to the faults, and its table is taken out of `stages`.
    """
    tables = {item.name for item in dataclasses.fields(SourceSettings)}
    added = []
    for name in list_added_stages(stages, tables):
        try:
            stage = load_stage(name)
        except UserError as error:
            faults.add(name if name in stages else f"gates.{name}", str(error))
            stages.pop(name, None)
            continue
        if stage is not None:
            added.append(stage)
        elif name in stages:
            known = [*tables, "run", "sources", "hybrid", *list_stage_names()]
            message = describe_unknown_key(name, name, known)
            faults.add(name, f"{message} No installed package adds a stage of this name.")
            del stages[name]
    if added and stages.get("picture") is not None:
        name = added[0].stage.name
        faults.add(name, f"{name}: a stage of a package measures clips, and the recipe is one of pictures; remove it")
    return extend_settings(SourceSettings, tuple(added), list_added_finders(stages))


def _bind_sources(
    settings: YamlSettings, stages: Mapping[str, Any], kind: type[SourceSettings], faults: Faults
) -> dict[str, SourceSettings]:
    """Return source name -> its settings: those of all sources, changed by those under `sources`."""
    per_source = settings.values.get("sources") or {}
    if not isinstance(per_source, Mapping):
        faults.add("sources", f"sources: expected a table of sources, got {per_source!r}")
        return {}
    sources = {}
    for name, table in per_source.items():
        key = f"sources.{name}"
        if not isinstance(table, Mapping):
            faults.add(key, f"{key}: expected a table of stages, got {table!r}")
            continue
        table = _without_unnamed_stages(table, key, kind, faults)
        for stage, backend in _BACKENDS:
            if isinstance(table.get(stage), Mapping) and backend in table[stage]:
                setting = f"{key}.{stage}.{backend}"
                faults.add(setting, f"{setting}: a run measures all its sources alike; set {stage}.{backend}")
        # Values that the source shares with all others stand where those stand.
        shared = {f"{key}.{setting}": position for setting, position in settings.positions.items() if setting}
        own = Faults({**shared, **settings.positions})
        bound = bind_collecting(kind, merge(stages, table), key, own)
        # A fault in a shared value is reported once, not again for each source.
        own.messages = [message for message in own.messages if message.replace(f"{key}.", "") not in faults.messages]
        faults.messages += own.messages
        if bound is not None:
            sources[str(name)] = bound
    return sources


def _without_unnamed_stages(
    table: Mapping[str, Any], key: str, kind: type[SourceSettings], faults: Faults
) -> Mapping[str, Any]:
    """Return a source's table without packages' stages that the recipe names for this source alone, which are faults.

    Args:
        table: of the source.
        key: dotted name of the table.
        kind: class of the settings of all sources.
        faults: gets a sentence for each.
    """
    fields = {item.name for item in dataclasses.fields(kind)}
    others = [name for name in table if name not in fields]
    unnamed = set(others) & set(list_stage_names()) if others else set()
    for name in sorted(unnamed):
        faults.add(
            f"{key}.{name}",
            f"{key}.{name}: this stage of a package runs only where the recipe names it for all sources too; add "
            f"`{name}: {{}}`, and `gates: {{{name}: skip}}` under each source that is to be without it",
        )
    return {name: value for name, value in table.items() if name not in unnamed}
