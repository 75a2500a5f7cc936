"""Pages of the recipes: every setting with unit, default, meaning and the source of its value."""

import dataclasses
import re
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from avf_curation.recipe import RunConfig, SourceSettings
from avf_curation.stages.picture import PictureConfig
from avf_shards.packing.selection import Selection, SourceSelection
from avf_shards.settings.field_comments import FieldNote, field_notes, unit_of_field
from avf_training.config.finetune import FinetuneRecipe
from avf_training.config.pretrain import PretrainRecipe
from avf_training.framewise.models.image_sizes import ImageViTConfig
from avf_training.framewise.pictures.finetune_recipe import ImageFinetuneRecipe
from avf_training.framewise.pictures.pretrain_recipe import ImagePretrainRecipe
from avf_training.framewise.training.frame_recipe import ElmRecipe, FrameRecipe
from avf_training.models.config import ModelConfig
from avf_training.study.plan import Study, StudyRow
from avf_training.study.sweep import SweepRange
from avf_training.tasks.catalog import Dataset

from reference.markdown import code, escape, table

ROOT = Path(__file__).parents[1]
CURATION, TRAINING = ROOT / "curation" / "recipes", ROOT / "training" / "recipes"
_LINE = re.compile(r"(?P<indent> *)(?:# )?(?P<key>[\w]+):(?P<value>[^#]*)(?:#(?P<comment>.*))?$")


def write_curation_recipes() -> str:
    """Return the page of the settings of a curation run."""
    default = CURATION / "default.yaml"
    values, sources = yaml.safe_load(default.read_text("utf-8")), yaml_comments(default)
    pictures = CURATION / "pictures.yaml"  # the only recipe with a section that the default one lacks
    values["picture"] = yaml.safe_load(pictures.read_text("utf-8"))["picture"]
    sources |= {name: text for name, text in yaml_comments(pictures).items() if name.startswith("picture.")}
    hints = typing.get_type_hints(SourceSettings)
    sections = {field.name: hints[field.name] for field in dataclasses.fields(SourceSettings)}
    classes = {**sections, "picture": PictureConfig, "run": RunConfig}
    docs = {note.name: note.text for note in field_notes(SourceSettings)} | {"run": "settings that all sources share"}
    parts = [
        "# Curation recipes",
        "A recipe is a YAML file that names what differs from the default. The tables show every setting, its default, "
        "and where the default comes from: NC = NeMo Curator, CV = CN-CVS collector, DJ = Data-Juicer, LS = LatentSync, "
        "PSD = PySceneDetect, SN = syncnet_python, TV = TalkVid, measured = on real clips. "
        "[The guide](../guides/curate.md#settings) says how to set them.",
    ]
    for section, cls in classes.items():
        rows = [
            (code(name), unit, code(default_text), escape(note.text), escape(sources.get(name, "")))
            for name, unit, default_text, note in _settings(cls, section, values.get(section, {}))
        ]
        parts.append(f"## {section}\n\n{escape(docs[section]).capitalize()}.")
        parts.append(table(("Setting", "Unit", "Default", "Meaning", "Source or reason"), rows))
    for path in sorted(CURATION.glob("*.yaml")):
        parts.append(f"## Recipe `{path.stem}`\n\n```yaml\n{path.read_text('utf-8').rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def write_training_recipes() -> str:
    """Return the page of the recipes of pre-training, post-pre-training, fine-tuning and studies."""
    parts = [
        "# Training recipes",
        "A recipe is named (`--recipe nano`) or a YAML file; `based_on` takes the values of another, and `--set` changes one "
        "field. Below: every field, then every recipe as it is, each value with its source.",
    ]
    for title, cls in (
        ("Pre-training", PretrainRecipe),
        ("Post-pre-training and fine-tuning", FinetuneRecipe),
        ("Image MAE", ImagePretrainRecipe),
        ("Extractors from image MAE", ImageFinetuneRecipe),
        ("Sequence models on tracks", FrameRecipe),
        ("Kernel machines (`elm`)", ElmRecipe),
        ("Studies", Study),
        ("A row of a study", StudyRow),
        ("A range of a sweep", SweepRange),
        ("Fields of a model preset (`variant`)", ModelConfig),
        ("Fields of an image model's size (`variant`)", ImageViTConfig),
    ):
        parts.append(f"## {title}\n\n{_class_table(cls)}")
    for folder in ("", "posttrain", "finetune", "pretrain_images", "finetune_images", "frames", "study"):
        parts.append(f"## Recipes of {folder or 'pretrain'}")
        for path in sorted((TRAINING / folder).glob("*.yaml")):
            parts.append(f"### {folder or 'pretrain'}: {path.stem}\n\n```yaml\n{path.read_text('utf-8').rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def write_selections() -> str:
    """Return the page of the files that select clips and describe labelled data sets."""
    parts = [
        "# Selections and data sets",
        "`avf-shards pack --select FILE` reads a selection (TOML). A curation recipe may hold the same under `hybrid`.",
        f"## Selection\n\n{_class_table(Selection)}",
        f"## A source of a selection\n\n{_class_table(SourceSelection)}",
        "## A labelled data set\n\nA file for `--dataset`; `avf-train datasets --new SHARDS` writes it "
        f"([how-to](../howto/own-labels.md)).\n\n{_class_table(Dataset)}",
    ]
    return "\n\n".join(parts) + "\n"


def yaml_comments(path: Path) -> dict[str, str]:
    """Return dotted setting -> comment of a recipe: the one in its line, and the lines that only continue it."""
    comments: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    name = ""
    for line in path.read_text("utf-8").splitlines():
        match = _LINE.match(line)
        if match and not line.startswith("#"):
            indent = len(match["indent"])
            stack = [entry for entry in stack if entry[0] < indent] + [(indent, match["key"])]
            name = ".".join(key for _, key in stack)
            comments[name] = (match["comment"] or "").strip()
        elif line.strip().startswith("#") and line.startswith(" ") and name:
            comments[name] += " " + line.strip().lstrip("# ")
    return comments


def _settings(cls: Any, prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str, str, FieldNote]]:
    """Yield (dotted name, unit, default, note) of each setting of a dataclass, and of the dataclasses inside it."""
    hints = typing.get_type_hints(cls)
    for note in field_notes(cls):
        name = f"{prefix}.{note.name}" if prefix else note.name
        inner = _inner_dataclass(hints[note.name])
        value = values.get(note.name) if isinstance(values, Mapping) else None
        if inner is not None:
            yield from _settings(inner, name, value or {})
        else:
            default = note.default if value is None else yaml.safe_dump(value, default_flow_style=True)
            yield name, unit_of_field(note.name), default.removesuffix("\n...\n").strip(), note


def _inner_dataclass(hint: Any) -> Any:
    """Return the dataclass that a field holds, or None for a plain value or a table of names."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return next((option for option in options if dataclasses.is_dataclass(option)), None)


def _class_table(cls: Any) -> str:
    rows = [
        (code(name), unit, code(note.type), code(default), escape(note.text))
        for name, unit, default, note in _settings(cls, "", {})
    ]
    return table(("Field", "Unit", "Type", "Default", "Meaning"), rows)
