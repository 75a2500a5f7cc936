"""Quick commands import no packages that take seconds to import."""

import subprocess
import sys

import pytest

EMBEDDED = """
from pathlib import Path
from avf_curation.recipe import load_recipe
from avf_curation.detectors.detector_set import Detectors, resolve_backends
import avf_curation.runs.curation
recipe = load_recipe(Path("clip"))
Detectors(resolve_backends(recipe, Path("no-weights")))
"""


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        (
            "import avf_training.inference.api",
            ("torchvision", "torch.distributed.checkpoint", "torch._dynamo", "scipy.stats"),
        ),
        (EMBEDDED, ("torch", "ray", "matplotlib")),
    ],
)
def test_quick_commands_import_no_heavy_packages(code: str, unwanted: tuple[str, ...]) -> None:
    program = f"{code}\nimport sys\nprint(*sorted({set(unwanted)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
