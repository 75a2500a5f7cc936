"""A run's fingerprint changes with the code that decides its results, and a refusal names the module."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from avf_curation.recipe import load_recipe
from avf_curation.runs import identity
from avf_curation.runs.deciding_modules import PICTURE_MODULES, code_digests
from avf_shards.errors import UserError
from avf_shards.format.content import Content
from avf_shards.format.run_folder import RunFolder
from support.curation_runs import EMBEDDED

# A worker imports these, and no verdict and no byte of a clip depends on them.
WITHOUT_INFLUENCE = {
    "avf_curation/execution/active_units.py",
    "avf_curation/execution/worker.py",
    "avf_shards/cli/logging_setup.py",
    "avf_shards/errors.py",
    "avf_shards/format/content.py",
    "avf_shards/format/file_digests.py",
    "avf_shards/format/index.py",
    "avf_shards/format/manifest.py",
    "avf_shards/format/plan_summary.py",
    "avf_shards/format/run_folder.py",
    "avf_shards/format/run_identity.py",
    "avf_shards/packing/selection.py",
    "avf_shards/settings/config.py",
    "avf_shards/settings/yaml_settings.py",
    "avf_shards/stores/addresses.py",
    "avf_shards/stores/conditional_writes.py",
    "avf_shards/stores/fetched_contents.py",
    "avf_shards/stores/mirror.py",
    "avf_shards/stores/mirror_memory.py",
    "avf_shards/stores/object_names.py",
    "avf_shards/stores/object_store.py",
    "avf_shards/stores/opening.py",
    "avf_shards/stores/stored_folder.py",
    "avf_shards/stores/temporary_names.py",
    "avf_shards/stores/transfers.py",
    "avf_shards/system/child_process.py",
    "avf_shards/system/durable_io.py",
    "avf_shards/system/installed_packages.py",
    "avf_shards/system/mirror_registry.py",
    "avf_shards/system/named_writes.py",
    "avf_shards/system/run_lock.py",
    "avf_shards/system/temporary_folder.py",
    "avf_shards/text.py",
}
# Beside these, in the worker of videos: they read what is known of pictures, and a video has none.
OF_PICTURES = {f"{package}/{name}" for package, names in PICTURE_MODULES.items() for name in names}
IMPORTS: dict[Content, str] = {
    "clips": "",
    "pictures": "import avf_curation.pipeline.picture_unit, avf_curation.pipeline.picture",
}
PROGRAM = """
import sys
import avf_curation.execution.isolated, avf_curation.execution.worker, avf_curation.pipeline.unit
from pathlib import Path
for name, module in sorted(sys.modules.items()):
    package = name.split(".")[0]
    if package in ("avf_curation", "avf_shards"):
        path = Path(module.__file__)
        if path.name != "__init__.py":
            root = next(parent for parent in path.parents if parent.name == package)
            print(path.relative_to(root.parent).as_posix())
"""


@pytest.mark.parametrize("content", ["clips", "pictures"])
def test_every_module_of_a_worker_is_part_of_the_fingerprint(content: Content) -> None:
    program = IMPORTS[content] + PROGRAM
    imported = set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "avf_curation/media/decode.py" in imported
    without = WITHOUT_INFLUENCE | (OF_PICTURES if content == "clips" else set())
    assert imported - set(code_digests(content)) - without == set()


def test_runs_of_videos_go_on_where_modules_of_pictures_change() -> None:
    assert set(code_digests("pictures")) - set(code_digests("clips")) == OF_PICTURES


def test_a_run_of_other_code_is_refused_by_the_name_of_the_module(tmp_path: Path) -> None:
    now = identity.run_identity(load_recipe(None), EMBEDDED, ["s"])
    module = "avf_curation/stages/silence.py"
    run = RunFolder(tmp_path / "run")
    identity.freeze_identity(run, replace(now, versions=now.versions | {module: "0123456789abcdef"}))
    with pytest.raises(UserError, match=rf"(?s)of other code.*\n  versions\.{module}: '0123456789abcdef' -> "):
        identity.freeze_identity(run, now)


def test_other_code_gives_another_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe(None)
    before = identity.run_identity(recipe, EMBEDDED, ["s"]).fingerprint
    changed = code_digests() | {"avf_curation/stages/silence.py": "0123456789abcdef"}
    monkeypatch.setattr(identity, "code_digests", lambda content: changed)
    assert identity.run_identity(recipe, EMBEDDED, ["s"]).fingerprint != before
