"""The truth of a window of a fake, and windows drawn onto forged segments, so that a short forgery is seen at all.

A window is fake where segments cover at least MIN_FORGED_S of it, and real where none touches it. In between nobody
could tell, and the window counts for nothing. Only what the model can see or hear counts: an audio segment is none to
a model of video alone.
"""

from dataclasses import dataclass

import numpy as np
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.schema.forgery import ForgedKind, Forgery
from avf_shards.settings.config import refuse
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_training.data.window_length import STRIDE
from avf_training.models.config import Modalities

MIN_FORGED_S = 0.12  # three frames
REAL_WINDOW, FAKE_WINDOW = 0, 1  # indices of the classes (real, fake)
_KINDS: dict[Modalities, tuple[ForgedKind, ...]] = {
    "av": ("audio", "video", "both"),
    "a": ("audio", "both"),
    "v": ("video", "both"),
}
_ROUNDING_S = 1e-6  # of times in records


@dataclass(frozen=True, kw_only=True)
class ForgedWindows:
    """How windows of fakes are drawn, and what is true of them, for a model of these modalities."""

    modalities: Modalities
    share: float = 0.5  # of a fake's windows that are drawn onto one of its segments; the others are drawn anywhere

    def __post_init__(self) -> None:
        refuse((not 0 <= self.share <= 1, f"share {self.share:g} of windows on a segment must be 0 to 1"))

    @property
    def kinds(self) -> tuple[ForgedKind, ...]:
        """Kinds of forgery that the model can see or hear."""
        return _KINDS[self.modalities]

    def truth(self, record: ClipRecord, start_frame: int, frames: int) -> tuple[int, float]:
        """Return the class of a window of `frames` model frames and its weight in the loss, 0 or 1.

        A fake whose segments are not published is fake from start to end.
        """
        forgery = forgery_of(record)
        if not forgery.is_fake:
            return REAL_WINDOW, 1.0
        if forgery.segments is None:
            # What was forged cannot be seen or heard by this model: it says nothing.
            return FAKE_WINDOW, float(forgery.kind is None or forgery.kind in self.kinds)
        start_s = start_frame / FRAMES_PER_SECOND
        forged_s = forgery.forged_seconds(start_s, start_s + frames * STRIDE / FRAMES_PER_SECOND, self.kinds)
        if forged_s >= MIN_FORGED_S - _ROUNDING_S:
            return FAKE_WINDOW, 1.0
        return REAL_WINDOW, float(forged_s < _ROUNDING_S)

    def draw_start(self, random: np.random.Generator, record: ClipRecord, frames: int, last_start: int) -> int | None:
        """Draw the first frame of a window of `frames` model frames onto a segment; None: draw it anywhere.

        Args:
            random: of the clip's position alone; how often it is asked is part of the stream.
            record: of the clip.
            frames: frames that the model sees.
            last_start: last frame at which a window may start.
        """
        onto, which, where = random.random(3)
        forgery = forgery_of(record)
        segments = [
            segment
            for segment in forgery.segments or ()
            if segment.kind in self.kinds and segment.stop_s - segment.start_s >= MIN_FORGED_S - _ROUNDING_S
        ]
        if onto >= self.share or not segments:
            return None
        segment = segments[int(which * len(segments))]
        # Windows from the first that ends MIN_FORGED_S inside of the segment to the last that begins so.
        first = (segment.start_s + MIN_FORGED_S - _ROUNDING_S) * FRAMES_PER_SECOND - frames * STRIDE
        last = (segment.stop_s - MIN_FORGED_S + _ROUNDING_S) * FRAMES_PER_SECOND
        low = min(max(0, int(np.ceil(first))), last_start)
        high = max(low, min(int(np.floor(last)), last_start))
        return low + int(where * (high - low + 1))


def forgery_of(record: ClipRecord) -> Forgery:
    """Return what the record of a clip says of its truth. Raises ValueError where it says nothing."""
    if record.labels is None or record.labels.forgery is None:
        raise ValueError(f"{record.key}: its record does not say whether it is real or fake")
    return record.labels.forgery
