"""Windows is refused by each program in a sentence, and what only Linux has is left out elsewhere."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from avf_shards.system.memory_limit import lower_limit

ON_WINDOWS = """
import sys
for name in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules[name] = None  # not there: importing them fails
from {package}.cli import main
sys.platform = "win32"
try:
    main.main(["--help"])
except SystemExit as end:
    print(end.code, [name for name in ("numpy", "pyarrow", "ray", "torch", "cv2") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("package", "program"),
    [("avf_shards", "avf-shards"), ("avf_curation", "avf-curate"), ("avf_training", "avf-train")],
)
def test_windows_is_refused_in_a_sentence_before_anything_heavy_is_imported(package: str, program: str) -> None:
    code = ON_WINDOWS.format(package=package)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "2 []\n"
    assert result.stderr.startswith(f"{program}: this program does not run on Windows: ")
    assert len(result.stderr.splitlines()) == 1
    assert "WSL" in result.stderr


def test_the_matrix_of_systems_is_a_workflow_with_linux_and_macos() -> None:
    path = Path(__file__).parents[3] / ".github/workflows/platforms.yml"
    check = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.github-workflows"]
    subprocess.run([*check, str(path)], check=True, capture_output=True)
    systems = yaml.safe_load(path.read_text())["jobs"]["quick-tests"]["strategy"]["matrix"]["os"]
    assert {name.partition("-")[0] for name in systems} == {"ubuntu", "macos"}


def test_memory_is_not_limited_where_the_system_counts_it_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    lower_limit(resource.RLIMIT_DATA, 1)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
