"""Packages that add something by entry points, written into a folder as pip would install them."""

import importlib
import shutil
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CACHES = {
    "avf_shards.system.installed_packages": "list_additions",
    "avf_curation.detectors.added_finders": "find_face_backend",
    "avf_curation.sources.plugins": "plugin_reader",
    "avf_curation.sources.pictures.registry": "added_pictures",
    "avf_curation.stages.added_stages": "load_stage",
    "avf_training.tasks.catalog": "_find_added",
    "avf_training.framewise.tracks.added_extractors": "find_added_extractor",
}  # module -> function that remembers what it read of packages
TEMPLATE = Path(__file__).parents[2] / "docs/plugin-template"
STAGE_TEXT = """
from dataclasses import dataclass
from avf_curation.stages.definition import Stage
from avf_curation.stages.reasons import Reason
from avf_shards.schema.ledger import Check

@dataclass(frozen=True, kw_only=True)
class Config:
    max_light: float = 300.0  # grey levels of the brightest frame
    every: int = 1  # frames between two that are looked at

@dataclass(frozen=True)
class Scores:
    light: float | None
    def record(self):
        return {"light": self.light}

def measure(face, config):
    return Scores(round(float(face.face_THWC[::config.every].mean((1, 2, 3)).max()), 4))

def decide(scores, config):
    return (Check(stage="NAME", reason="bright", score=scores.light, operator="<=", threshold=config.max_light,
                  setting="NAME.max_light"),)

STAGE = Stage(name="NAME", about="How light it is.", config=Config, measure=measure, decide=decide,
              reasons={"bright": Reason(sentence="The face is too bright.", score="grey levels")},
              thresholds=("max_light",))
"""


def install(
    site: Path, name: str, text: str, group: str = "avf_foundry.stages", *, project: str = "", entry: str = "STAGE"
) -> Path:
    """Write a package of one module with the entry point `name`, and return the module's file.

    Args:
        site: as `installed_packages` gave it.
        name: of the entry point.
        text: of the module; NAME in it becomes `name`.
        group: of the entry point.
        project: name of the package; as a rule after `name`.
        entry: attribute that the entry point names; an empty text: the module.
    """
    project = project or f"plugin-{name}"
    module = project.replace("-", "_")
    sys.modules.pop(module, None)  # of another test
    file = site / f"{module}.py"
    file.write_text(text.replace("NAME", name) if group.endswith("stages") else text)
    information = site / f"{module}-1.5.dist-info"
    information.mkdir(exist_ok=True)
    set_version(site, project, "1.5")
    value = f"{module}:{entry}" if entry else module
    (information / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
    forget_packages()
    return file


def install_template(site: Path) -> None:
    """Install the template package of the docs, as pip would without building it."""
    project = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["project"]
    shutil.copytree(TEMPLATE / "src", site, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    information = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    information.mkdir()
    set_version(site, project["name"], project["version"])
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n{name} = {value}" for group, entries in groups for name, value in entries.items()]
    (information / "entry_points.txt").write_text("\n".join(lines))
    forget_packages()


def set_version(site: Path, project: str, version: str) -> None:
    """Give a package another version."""
    (information,) = site.glob(f"{project.replace('-', '_')}-*.dist-info")
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n")
    forget_packages()


def forget_packages() -> None:
    """Forget what was read of packages, as a new process would."""
    for module, name in _CACHES.items():
        if module in sys.modules:  # a test of curation does not load torch for them
            getattr(sys.modules[module], name).cache_clear()
    importlib.invalidate_caches()


@contextmanager
def installed_packages(folder: Path) -> Iterator[Path]:
    """Put a folder on the path of modules while the block runs, as the one of an environment."""
    folder.mkdir()
    sys.path.insert(0, str(folder))
    forget_packages()
    try:
        yield folder
    finally:
        sys.path.remove(str(folder))
        for name in [
            name for name, module in sys.modules.items() if str(folder) in str(getattr(module, "__file__", ""))
        ]:
            del sys.modules[name]
        forget_packages()
