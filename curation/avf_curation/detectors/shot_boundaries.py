"""Shot boundaries by PySceneDetect's detectors, which take a video frame by frame."""

from typing import Any

from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.detectors.terminal import no_terminal_input
from avf_curation.media.types import Bytes
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


class ShotBoundaryDetector:
    """The detectors that a recipe names, over one video.

    They take every frame in order, and report a cut some frames after it happened.
    """

    def __init__(self, config: ScenesConfig) -> None:
        """Make the detectors of `config`, with its thresholds in PySceneDetect's own units."""
        distance = max(1, round(config.min_cut_distance_s * FRAMES_PER_SECOND))
        make: dict[str, Any] = {
            "adaptive": lambda: AdaptiveDetector(
                config.adaptive_threshold, distance, min_content_val=config.adaptive_min_content
            ),
            "content": lambda: ContentDetector(config.content_threshold, distance),
            "histogram": lambda: HistogramDetector(config.histogram_threshold, min_scene_len=distance),
            "hash": lambda: HashDetector(config.hash_threshold, min_scene_len=distance),
            "threshold": lambda: ThresholdDetector(config.fade_threshold, distance),
        }
        self._detectors = [make[name]() for name in config.detectors]
        self._time = FrameTimecode(0, float(FRAMES_PER_SECOND))

    def feed(self, index: int, small: Bytes) -> list[int]:
        """Take frame `index` as a small BGR image (H, W, 3); return the first frames of new shots known by now."""
        self._time = FrameTimecode(index, float(FRAMES_PER_SECOND))
        return [cut.frame_num for detector in self._detectors for cut in detector.process_frame(self._time, small)]

    def finish(self) -> list[int]:
        """Return the first frames of new shots that the detectors had not reported at the end of the video."""
        return [cut.frame_num for detector in self._detectors for cut in detector.post_process(self._time)]
