"""Quick commands import no packages that take seconds to import."""

import subprocess
import sys
from pathlib import Path

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
        ("from avf_training.cli.main import main; main(['describe', '--json', 'costs.json'])", ("torch", "matplotlib")),
        ("from avf_curation.audit.calibrate import binomial_quantile as b; b(0.5, 9, 0.8)", ("scipy.stats", "torch")),
        ("import avf_training.pretraining.pretrain", ("torchvision", "matplotlib")),
        ("from avf_training.cli.main import main; main(['predict', 'none.mp4', '--model', 'none'])", ("torch", "av")),
    ],
)
def test_quick_commands_import_no_heavy_packages(code: str, unwanted: tuple[str, ...], tmp_path: Path) -> None:
    program = f"{code}\nimport sys\nprint(*sorted({set(unwanted)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""
