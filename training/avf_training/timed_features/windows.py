"""Which windows of an encoder give a token that is centred on a moment. N moments, W windows.

Moments are whole numbers on a clock: samples of sound at 16 kHz, stored pictures at 25 frames a second.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from avf_shards.errors import UserError
from avf_shards.timeline import SAMPLE_RATE_HZ

from avf_training.data.fbank import SHIFT_MS, WINDOW_MS
from avf_training.data.window_length import STRIDE
from avf_training.models.config import Geometry

Ints = npt.NDArray[np.int64]
TokenContext = Literal["lattice", "dense"]
"""What a token hears or sees beside itself.

`lattice`: at least a quarter of a window on each side, with few windows. `dense`: half a window on each side, with a
window for each token.
"""
SHIFT_SAMPLES, WINDOW_SAMPLES = SAMPLE_RATE_HZ * SHIFT_MS // 1000, SAMPLE_RATE_HZ * WINDOW_MS // 1000


@dataclass(frozen=True, kw_only=True)
class TokenClock:
    """Where the tokens of a window lie in time, counted from the window's start."""

    step: int  # from one token to the next
    centre: int  # of the first token
    reach: int  # from the first to the last moment that a token is computed from
    tokens: int  # of a window
    length: int  # of a window


def audio_clock(geometry: Geometry) -> TokenClock:
    """Return the clock of audio patches, in samples: a patch of 16 mel rows hears 2,800 samples around its centre."""
    reach = (geometry.mel_patch - 1) * SHIFT_SAMPLES + WINDOW_SAMPLES
    return TokenClock(
        step=geometry.mel_patch * SHIFT_SAMPLES,
        centre=reach // 2,
        reach=reach,
        tokens=geometry.audio_grid[0],
        length=geometry.mel_frames * SHIFT_SAMPLES,
    )


def video_clock(geometry: Geometry) -> TokenClock:
    """Return the clock of video tubes, in stored pictures: a tube of two pictures, four apart, is centred between."""
    reach = (geometry.tube_frames - 1) * STRIDE
    return TokenClock(
        step=geometry.tube_frames * STRIDE,
        centre=reach // 2,
        reach=reach,
        tokens=geometry.video_grid[0],
        length=geometry.frames * STRIDE,
    )


@dataclass(frozen=True, kw_only=True)
class WindowPlan:
    """The windows to compute, and where the token of each moment lies in them."""

    starts_W: Ints  # rising; below 0 where a window begins before the input does
    window_N: Ints  # number of the window of each moment
    token_N: Ints  # number of its token in that window


def plan_windows(centres_N: Ints, clock: TokenClock, context: TokenContext) -> WindowPlan:
    """Return windows whose tokens are centred on the moments, exactly. Raises UserError for an unknown context."""
    check_context(context)
    steps_N, phase_N = np.divmod(np.asarray(centres_N, np.int64) - clock.centre, clock.step)
    if context == "dense":
        token_N = np.full_like(steps_N, (clock.tokens - 1) // 2)
    else:
        middle = max(1, clock.tokens // 2)  # tokens of a window that are used
        token_N = steps_N % middle + (clock.tokens - middle) // 2
    starts_W, window_N = np.unique(phase_N + clock.step * (steps_N - token_N), return_inverse=True)
    return WindowPlan(starts_W=starts_W, window_N=window_N.astype(np.int64), token_N=token_N)


def check_context(context: str) -> None:
    """Raise UserError for a context that does not exist."""
    if context not in get_args(TokenContext):
        raise UserError(f"context {context!r}: there are {' and '.join(get_args(TokenContext))}")
