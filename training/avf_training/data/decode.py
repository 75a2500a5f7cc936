"""Stored clips to frames and sound (PyAV, soundfile).

Shapes: T frames, H W picture, S samples.
"""

import io

import av
import numpy as np
import numpy.typing as npt
import soundfile
from avf_shards.errors import FaultError
from avf_shards.timeline import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

STRIDE = 4  # frames between two that the models see: 16 frames span 2.56 s at 25 fps


def window(
    mp4: bytes, flac: bytes, start_frame: int, frames: int, stride: int = STRIDE
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int16]]:
    """Every `stride`-th frame from `start_frame` on as RGB (T, H, W, 3), and the sound of the same time, (S,).

    A clip that ends early repeats its last frame. Raises FaultError for a clip that does not decode.
    """
    wanted = [start_frame + stride * n for n in range(frames)]
    try:
        with av.open(io.BytesIO(mp4), "r", format="mp4") as container:
            decoded = [frame for _, frame in zip(range(wanted[-1] + 1), container.decode(video=0), strict=False)]
        samples, rate = soundfile.read(io.BytesIO(flac), dtype="int16")
    except (av.error.FFmpegError, soundfile.LibsndfileError) as error:
        raise FaultError(f"the clip does not decode ({error})") from None
    if not decoded or rate != SAMPLE_RATE_HZ or samples.ndim != 1:
        raise FaultError(f"the clip has {len(decoded)} frames and sound of {rate} Hz, {samples.ndim} channels")
    pictures = [decoded[min(index, len(decoded) - 1)].to_ndarray(format="rgb24") for index in wanted]
    sound = samples[start_frame * SAMPLES_PER_FRAME : (start_frame + stride * frames) * SAMPLES_PER_FRAME]
    return np.stack(pictures), sound
