"""The length of a model's window, for modules that must not import numpy, such as the command line."""

from avf_shards.errors import UserError
from avf_shards.timeline import FRAMES_PER_SECOND

# Frames from one model frame to the next: 16 frames at stride 4 span 64 stored frames, 2.56 s at 25 fps
# (AVF-MAE++ Table 5, "sampling rate").
STRIDE = 4
WINDOW_S = 16 * STRIDE / FRAMES_PER_SECOND  # the papers' window: 2.56 s
HOP_S = WINDOW_S / 4  # from one prediction to the next: short enough to see an expression change


def check_hop(hop_s: float) -> None:
    """Raise UserError where windows would not move on."""
    if not hop_s > 0:
        raise UserError(f"hop {hop_s:g} must be above 0 seconds")
