"""A value for each frame of a span as a short text: one signed byte a frame, in base64."""

import base64
import binascii

import numpy as np
import numpy.typing as npt

from avf_shards.errors import FaultError

Floats = npt.NDArray[np.float64]

SPEAKING_STEP = 0.1  # of a network's score, as its authors round it
MOUTH_STEP = 0.5  # grey levels
SOUND_STEP = 1.0  # dB


def write_curve(values_T: npt.ArrayLike, step: float) -> str:
    """Return the values, rounded to multiples of `step`, as text; what a byte cannot hold is the nearest it can."""
    steps_T = np.rint(np.asarray(values_T, np.float64) / step)
    return base64.b64encode(np.clip(steps_T, -128, 127).astype(np.int8).tobytes()).decode()


def read_curve(text: str, step: float, where: str) -> Floats:
    """Return the values that `write_curve` wrote, (T,). Raises FaultError for other text."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise FaultError(f"{where}: is no curve in base64") from None
    return np.frombuffer(data, np.int8).astype(np.float64) * step
