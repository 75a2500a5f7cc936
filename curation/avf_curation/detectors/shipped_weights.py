"""Weight files that come with the program, in the folder `shipped`, whose README says whose they are.

The Python packages that publish three of them ask for torch or TensorFlow, which reading the files does not need.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.system.storage_faults import read_bytes

_FOLDER = Path(__file__).with_name("shipped")


@dataclass(frozen=True, kw_only=True)
class ShippedWeights:
    """A weight file of the version whose scores the thresholds hold for."""

    file_name: str  # in the folder `shipped`
    sha256: str  # of the file

    @property
    def path(self) -> Path:
        """The file, which may be missing or another one: `check` looks."""
        return _FOLDER / self.file_name

    def check(self) -> Path:
        """Return the file. Raises UserError where it is missing or is another file."""
        return _check_file(self)


@cache
def _check_file(weights: ShippedWeights) -> Path:
    path = weights.path
    if not path.is_file():
        raise UserError(f"{path}: is not there, but comes with avf-foundry; install avf-foundry again")
    digest = hashlib.sha256(read_bytes(path)).hexdigest()
    if digest != weights.sha256:
        raise UserError(
            f"{path}: has SHA-256 {digest[:16]}..., not {weights.sha256[:16]}..., for whose scores the thresholds "
            "hold; install avf-foundry again"
        )
    return path


#: MediaPipe's face detector (Apache-2.0).
BLAZEFACE = ShippedWeights(
    file_name="face_detection_back.tflite", sha256="e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8"
)
#: MediaPipe's 468 points on a face (Apache-2.0).
FACE_MESH = ShippedWeights(
    file_name="face_landmark.tflite", sha256="2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493"
)
#: Silero VAD 6.2.3 (MIT).
SILERO = ShippedWeights(
    file_name="silero_vad_16k.safetensors", sha256="c59271c284ae9c8335d795d60e0bfdb71aaaceec578d9bd9ffc1b8153c319ea1"
)
#: Our own sync network, trained on GRID (docs/howto/calibrate.md).
SYNC_HEAD = ShippedWeights(
    file_name="sync_head.safetensors", sha256="d0a3154f0376330341a91466adccc43aad675107771429247a3f581a6ed10f4d"
)
