"""Shot boundaries by PySceneDetect's detectors, which take a video frame by frame.

They see only frames that differ from the one before. A source of 8 to 15 fps shows each frame two or three times on the
timeline, and some encoders store the repetitions. The adaptive detector compares the change at a frame with the mean
change around it, which repetitions bring down, so that the turn of a head would look like a cut.

A picture that stands for longer, as in a call that stutters, is seen again. What comes behind it is a cut only where it
shows another scene.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.detectors.same_view import shows_same_view
from avf_curation.detectors.terminal import no_terminal_input
from avf_curation.media.types import Bytes
from avf_curation.stages.block_changes import change_by_block
from avf_curation.stages.scenes import ScenesConfig

with no_terminal_input():  # the import runs ffmpeg, which would change the settings of the user's terminal
    from scenedetect.common import FrameTimecode
    from scenedetect.detectors import (
        AdaptiveDetector,
        ContentDetector,
        HashDetector,
        HistogramDetector,
        ThresholdDetector,
    )


class _QuickScore:
    """PySceneDetect's score of a frame by its default weights, the same bits for a quarter of the time.

    It takes the sums of 8-bit differences as they are; PySceneDetect widens each picture to 32 bits first.
    """

    _last_hsv_HWC: Bytes | None = None

    def _calculate_frame_score(self, _timecode: object, frame_img: Bytes) -> float:
        """Return the mean change of hue, saturation and value since the frame before; 0 for the first one."""
        hsv_HWC = np.asarray(cv2.cvtColor(frame_img, cv2.COLOR_BGR2HSV), np.uint8)
        before_HWC, self._last_hsv_HWC = self._last_hsv_HWC, hsv_HWC
        if before_HWC is None:
            return 0.0
        pixels = float(hsv_HWC.shape[0] * hsv_HWC.shape[1])
        changes = [total / pixels for total in cv2.sumElems(cv2.absdiff(hsv_HWC, before_HWC))[:3]]
        return sum(changes) / len(changes)


class _Adaptive(_QuickScore, AdaptiveDetector):  # type: ignore[misc]  # PySceneDetect has no types
    pass


class _Content(_QuickScore, ContentDetector):  # type: ignore[misc]  # PySceneDetect has no types
    pass


_BLOCKS = 8  # blocks per side in which two frames are compared
_REPEATED_LEVEL = 0.6  # grey levels: re-encoded repetitions stay below 0.3 in every block, sleeping faces exceed 1
_MAX_REPEATED = 4  # 5 fps; a picture that stands longer is no slow source but a still, or the black of a fade
Blocks = npt.NDArray[np.float64]


class ShotBoundaryDetector:
    """The detectors that a recipe names, over one video.

    They take the frames in order, and report a cut some frames after it happened.
    """

    def __init__(self, config: ScenesConfig) -> None:
        """Make the detectors of `config`, with its thresholds in PySceneDetect's own units."""
        distance = max(1, round(config.min_cut_distance_s * FRAMES_PER_SECOND))
        make: dict[str, Any] = {
            "adaptive": lambda: _Adaptive(
                config.adaptive_threshold, distance, min_content_val=config.adaptive_min_content
            ),
            "content": lambda: _Content(config.content_threshold, distance),
            "histogram": lambda: HistogramDetector(config.histogram_threshold, min_scene_len=distance),
            "hash": lambda: HashDetector(config.hash_threshold, min_scene_len=distance),
            "threshold": lambda: ThresholdDetector(config.fade_threshold, distance),
        }
        # detectors/dissolves.py and detectors/transitions.py have the others
        self._detectors = [make[name]() for name in config.detectors if name in make]
        self._time = FrameTimecode(0, float(FRAMES_PER_SECOND))
        self._previous: Bytes | None = None  # the latest frame that the detectors have seen
        self._skipped = 0  # frames after it
        self._repeated = 0  # frames that show the same as the latest distinct one
        self._no_cuts: set[int] = set()  # frames behind a picture that stood, in the same scene

    def feed(self, index: int, small: Bytes) -> list[int]:
        """Take frame `index` as a small BGR image (H, W, 3); return the first frames of new shots known by now."""
        change = None if self._previous is None else _change(self._previous, small)
        if change is not None and _is_repetition(change):
            self._repeated += 1
            if self._skipped < _MAX_REPEATED:
                self._skipped += 1
                return []
        else:
            if (
                self._repeated >= _MAX_REPEATED
                and self._previous is not None
                and shows_same_view(self._previous, small)
            ):
                self._no_cuts.add(index)
            self._repeated = 0
        self._previous, self._skipped = small, 0
        self._time = FrameTimecode(index, float(FRAMES_PER_SECOND))
        return self._cuts(lambda detector: detector.process_frame(self._time, small))

    def finish(self) -> list[int]:
        """Return the first frames of new shots that the detectors had not reported at the end of the video."""
        return self._cuts(lambda detector: detector.post_process(self._time))

    def _cuts(self, ask: Callable[[Any], Any]) -> list[int]:
        """Return the cuts that the detectors answer, but for the ends of pictures that stood still in one scene."""
        cuts: list[int] = []
        for detector in self._detectors:
            before = getattr(detector, "_last_cut", None)
            answered = [cut.frame_num for cut in ask(detector)]
            cuts += (accepted := [cut for cut in answered if cut not in self._no_cuts])
            if before is not None and answered and not accepted:
                detector._last_cut = before  # else a true cut right behind would be too near to be told
        return cuts


def _change(before: Bytes, after: Bytes) -> Blocks | None:
    """Return how much two images (H, W, 3) differ in each block, in grey levels; None where their sizes do.

    Every second row and column of one channel tells enough.
    """
    if before.shape != after.shape:
        return None
    after_HW, before_HW = np.ascontiguousarray(after[::2, ::2, 1]), np.ascontiguousarray(before[::2, ::2, 1])
    rows, columns = (max(1, side // _BLOCKS) for side in after_HW.shape)
    return change_by_block(before_HW, after_HW, rows, columns)


def _is_repetition(change: Blocks) -> bool:
    """Return whether no block changes by more than the noise of an encoder."""
    return bool(change.max() < _REPEATED_LEVEL)
