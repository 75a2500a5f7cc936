"""The format of an exported model. Without torch, so that what cannot be written is refused quickly."""

import importlib.util
from pathlib import Path

from avf_shards.errors import UserError


def require_new_file(out: Path) -> None:
    """Raise UserError where the file is there already, or its format needs a package that is not installed."""
    if out.exists():
        raise UserError(f"{out}: is there already; name a new file")
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if out.suffix.lower() == ".onnx" and missing:
        raise UserError(f"{out}: {missing[0]} is not installed; pip install 'avf-foundry[onnx]', or name a .pt2 file")
