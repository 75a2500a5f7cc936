"""The real talkers of learned_sync.py, whose faces are searched once: later runs read their features from a temporary folder."""

import hashlib
import tempfile
from pathlib import Path

import numpy as np
from avf_curation.detectors import face_mesh, mouth, sync_calibration
from avf_curation.detectors.sync_calibration import LearningClip
from avf_curation.detectors.sync_training import Talk

from benchmarks import learned_sync

_CODE = (face_mesh, mouth, sync_calibration, learned_sync)  # a change of these measures anew


def read_talkers_once() -> list[LearningClip]:
    """Return what `read_talkers` returns, from the temporary folder where an earlier run has left it there."""
    digest = hashlib.sha256(b"".join(Path(str(module.__file__)).read_bytes() for module in _CODE)).hexdigest()
    path = Path(tempfile.gettempdir()) / f"avf_talkers_{digest[:16]}.npz"
    if not path.is_file():
        clips = learned_sync.read_talkers()
        temporary = path.with_name(f"{path.stem}.part.npz")
        with open(temporary, "wb") as file:
            np.savez(file, allow_pickle=False, **_arrays(clips))
        temporary.rename(path)
    return _clips(path)


def _arrays(clips: list[LearningClip]) -> dict[str, np.ndarray]:
    arrays = {"persons": np.array([clip.person for clip in clips])}
    for number, clip in enumerate(clips):
        arrays |= {
            f"{number}.distances": clip.talk.distances_TD,
            f"{number}.samples": clip.talk.samples,
            f"{number}.measured": clip.measured_TD,
            f"{number}.patches": clip.patches_THWC,
        }
    return arrays


def _clips(path: Path) -> list[LearningClip]:
    with np.load(path) as arrays:
        return [
            LearningClip(
                source="real",
                person=str(person),
                talk=Talk(distances_TD=arrays[f"{number}.distances"], samples=arrays[f"{number}.samples"]),
                measured_TD=arrays[f"{number}.measured"],
                patches_THWC=arrays[f"{number}.patches"],
            )
            for number, person in enumerate(arrays["persons"])
        ]
