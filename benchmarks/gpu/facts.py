"""The machine on which the figures were measured. Nothing here changes a setting of the card."""

import os
import platform
import subprocess

import numpy as np
import torch

from benchmarks.gpu.results import Value
from benchmarks.table import machine

_CARD = {
    "driver": "driver_version",
    "memory": "memory.total",
    "SM clock now": "clocks.sm",
    "SM clock at most": "clocks.max.sm",
    "memory clock now": "clocks.mem",
    "power limit": "power.limit",
    "temperature": "temperature.gpu",
}


def device_facts(device: str) -> dict[str, Value]:
    """Return card, driver, clocks as they were found, versions, and the processor."""
    facts: dict[str, Value] = {
        "card": "none",
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "processor": machine(),
        "cores": os.cpu_count(),
    }
    if device != "cuda":
        return facts
    properties = torch.cuda.get_device_properties(0)
    facts |= {
        "card": properties.name,
        "memory GiB": round(properties.total_memory / 2**30, 1),
        "multiprocessors": properties.multi_processor_count,
        "CUDA": torch.version.cuda,
        "cuDNN": torch.backends.cudnn.version(),
        "clocks": "as found, never set",
    }
    return facts | _card_facts()


def _card_facts() -> dict[str, Value]:
    """Return what nvidia-smi says of the first card; nothing where it is not installed."""
    command = ["nvidia-smi", "-i", "0", f"--query-gpu={','.join(_CARD.values())}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(zip(_CARD, (text.strip() for text in done.stdout.split(",")), strict=False))
