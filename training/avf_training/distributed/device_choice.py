"""The device to compute on: auto, cuda, mps or cpu, and in words why one cannot be had.

Nothing here starts a GPU before torch is asked, so that workers can still be forked.
"""

import ctypes
import platform
import re
import sys
from importlib.util import find_spec
from pathlib import Path

from avf_shards.errors import UserError

DEVICES = ("auto", "cuda", "mps", "cpu")
_VALUES = re.compile(r"^(__version__|cuda|hip)\b[^=\n]*= *['\"]([^'\"]+)", re.MULTILINE)  # None has no quotes


def check_device_name(text: str) -> str | None:
    """Return the name of a device, None for auto. Raises UserError, without torch, for one that cannot be there."""
    if text not in DEVICES:
        raise UserError(f"invalid choice: {text!r} (choose from {', '.join(DEVICES)})")
    if text == "cuda" and not may_have_cuda():
        raise UserError(f"cuda: {_describe_lack_of_cuda()}")
    if text == "mps" and (sys.platform, platform.machine()) != ("darwin", "arm64"):
        raise UserError("mps: this is the GPU of a Mac with Apple silicon, and this machine is none; take cuda or cpu")
    return None if text == "auto" else text


def resolve_device(requested: str | None, *, float64_for: str = "") -> str:
    """Return the device to compute on: cuda, mps or cpu. None and "auto" stand for cuda if present, else cpu.

    auto never takes mps, on which no figure of this project was measured. Raises UserError for a GPU that is not
    present or cannot do the work.

    Args:
        float64_for: the part of the work that computes in float64, which mps cannot; empty: none does.
    """
    import torch

    if requested is None or requested == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if requested.partition(":")[0] not in DEVICES:
        raise UserError(f"--device {requested}: invalid choice (choose from {', '.join(DEVICES)})")
    if requested.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device cuda: {_describe_lack_of_cuda()}")
    if requested == "mps":
        if not torch.backends.mps.is_available():
            built = "finds none here" if torch.backends.mps.is_built() else "is built without it"
            raise UserError(f"--device mps: this is the GPU of a Mac, and torch {torch.__version__} {built}; take cpu")
        if float64_for:
            raise UserError(f"--device mps: it has no float64, in which {float64_for} computes; take cpu")
    return requested


def may_have_cuda() -> bool:
    """Return whether torch may find a CUDA device, which `resolve_device` asks torch itself."""
    if is_built_for_amd():  # its devices answer to the same name, by another driver
        return True
    try:
        ctypes.CDLL("libcuda.so.1")  # loads NVIDIA's driver without starting it
    except OSError:
        return False
    return True


def is_built_for_amd() -> bool:
    """Return whether torch is a build for AMD, which its version does not always say; False where there is no torch."""
    return "hip" in _torch_build()


def _describe_lack_of_cuda() -> str:
    """Return why there is no CUDA device, with the installed build of torch, and what to do."""
    build = _torch_build()
    name = f"torch {build.get('__version__', '')}".rstrip()
    if not build:
        cause = "and torch is not installed"
    elif "hip" in build:
        cause = f"as {name} sees it, a build for AMD's ROCm {build['hip']}"
    elif "cuda" in build:
        cause = f"as {name} sees it, a build for CUDA {build['cuda']}: look at nvidia-smi for the driver"
    else:
        cause = f"as {name} sees it, a build without CUDA: install one with CUDA where there is an NVIDIA GPU"
    return f"this machine has no CUDA device, {cause}; leave the option out to compute on the CPU"


def _torch_build() -> dict[str, str]:
    """Return __version__, cuda and hip of the installed torch, as far as it has them, without loading it."""
    spec = find_spec("torch")
    paths = [Path(folder) / "version.py" for folder in (spec and spec.submodule_search_locations) or ()]
    return {name: value for path in paths if path.is_file() for name, value in _VALUES.findall(path.read_text("utf-8"))}
