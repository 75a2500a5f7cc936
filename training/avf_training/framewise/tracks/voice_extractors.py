"""When a person seems to speak: the area between the lips of each frame, or how probable speech is in its sound.

The area is by dlib's 68 landmarks, whose predictor is a file that the user has; where it is not there, the probability
of Silero's network, which is among the installed packages, is the fallback. Either track tells `open_frames` in which
frames the mouth counts as open. N frames, P landmarks.
"""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from avf_shards.errors import UserError

from avf_training.framewise.sampling.audio_rows import rows_of_frames
from avf_training.framewise.sampling.mouth import DLIB_LIPS, mouth_area, open_mouth
from avf_training.framewise.tracks.extractor import FrameVectors, PictureFormat, digest_weights, every_frame
from avf_training.framewise.tracks.feature_track import FeatureTrack
from avf_training.framewise.tracks.footage import PICTURE_PREPARATION, Footage
from avf_training.framewise.tracks.identity import ExtractorIdentity
from avf_training.models.inputs import IMAGE_MEAN, IMAGE_STD

LANDMARKS = 68
SIDE_PX, MARGIN_PX = 256, 64  # of the picture, and the black edge around it: a face may fill the picture
SPEECH_WINDOW = 512  # samples of one probability
LEAST_PROBABILITY = 0.5  # of speech, as the authors of the network have it
SPEECH = "speech"


class MouthExtractor:
    """The area between the lips in squares of the picture's side; frames without a face have none."""

    picture_input = PictureFormat(size_px=SIDE_PX, device=torch.device("cpu"))

    def __init__(self, weights: Path) -> None:
        """Load the predictor. Raises UserError for a file that is none, or of other landmarks."""
        import dlib

        try:
            self._predict: Any = dlib.shape_predictor(str(weights))
            points = self._predict(np.zeros((8, 8), np.uint8), dlib.rectangle(0, 0, 7, 7)).num_parts
        except RuntimeError as error:
            raise UserError(f"{weights}: is no shape predictor of dlib ({str(error).splitlines()[0][:100]})") from None
        if points != LANDMARKS:
            raise UserError(
                f"{weights}: predicts {points} landmarks; name shape_predictor_68_face_landmarks.dat, or use "
                f"--extractor {SPEECH}"
            )
        self._find_faces: Any = dlib.get_frontal_face_detector()
        settings: dict[str, str | int] = {
            "size_px": SIDE_PX,
            "margin_px": MARGIN_PX,
            "landmarks": LANDMARKS,
            "picture_preparation": PICTURE_PREPARATION,
        }
        self.identity = ExtractorIdentity.from_settings("mouth", settings, digest_weights(weights))

    def extract(self, footage: Footage) -> FrameVectors:
        """Return the area of each frame in which a face is found."""
        rows, areas, row = [], [], 0
        for batch_B3PP in footage.pictures(self.picture_input.size_px, self.picture_input.device):
            std_311, mean_311 = (batch_B3PP.new_tensor(values).view(3, 1, 1) for values in (IMAGE_STD, IMAGE_MEAN))
            grey_BPP = (batch_B3PP * std_311 + mean_311).mean(1)
            for grey_PP in (255 * grey_BPP).round().clamp(0, 255).byte().numpy():
                landmarks_P2 = self._landmarks(np.pad(grey_PP, MARGIN_PX))
                if landmarks_P2 is not None:
                    rows.append(row)
                    areas.append(mouth_area(landmarks_P2[None] / SIDE_PX, DLIB_LIPS)[0])
                row += 1
        return FrameVectors(rows_R=np.array(rows, np.int64), vectors_RD=np.array(areas, np.float32).reshape(-1, 1))

    def _landmarks(self, grey_PP: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64] | None:
        """Return x and y of the landmarks of the largest face, (68, 2); None without a face."""
        faces = self._find_faces(grey_PP, 0)
        if not len(faces):
            return None
        shape = self._predict(grey_PP, max(faces, key=lambda face: face.area()))
        return np.array([(point.x, point.y) for point in shape.parts()], np.float64)


class SpeechProbabilityExtractor:
    """Silero's probability of speech: the mean of the 32 ms whose centres lie in a frame, else the nearest."""

    picture_input = None

    def __init__(self) -> None:
        """Load the network of the installed package. Raises UserError where it is not installed."""
        spec = importlib.util.find_spec("silero_vad")
        if spec is None or not spec.submodule_search_locations:
            missing = "the package silero-vad is not installed; pip install 'avf-foundry[train]'"
            raise UserError(f"--extractor {SPEECH}: {missing}")
        weights = Path(spec.submodule_search_locations[0]) / "data" / "silero_vad.jit"
        from silero_vad import load_silero_vad

        self._model: Any = load_silero_vad()
        self.identity = ExtractorIdentity.from_settings(SPEECH, {"window": SPEECH_WINDOW}, digest_weights(weights))

    @torch.no_grad()
    def extract(self, footage: Footage) -> FrameVectors:
        """Return the probability of each frame."""
        wave_S = torch.from_numpy(footage.wave())
        padded_WS = torch.nn.functional.pad(wave_S, (0, -len(wave_S) % SPEECH_WINDOW)).view(-1, SPEECH_WINDOW)
        self._model.reset_states()
        heard = [float(self._model(window_S, 16_000)) for window_S in padded_WS]
        rows_W1 = np.array(heard, np.float64).reshape(-1, 1)
        return every_frame(rows_of_frames(rows_W1, footage.frames, footage.fps, SPEECH_WINDOW, SPEECH_WINDOW))


def open_frames(track: FeatureTrack, frames: int) -> npt.NDArray[np.bool_]:
    """Return in which of the first `frames` frames of a video the mouth counts as open.

    By lips: the trailing mean of the area is above that of the track, and frames without lips are closed. By sound:
    speech is more probable than not. Raises UserError for a track of another extractor.
    """
    values_R = np.asarray(track.vectors_ND, np.float64)
    if track.extractor.name == "mouth" and track.width == 1:
        is_open_R = open_mouth(values_R[:, 0])
    elif track.extractor.name == SPEECH and track.width == 1:
        is_open_R = values_R[:, 0] >= LEAST_PROBABILITY
    else:
        raise UserError(
            f"{track.subject}: the track of {track.extractor.name} does not tell when somebody speaks; use one of "
            f"`mouth` or `{SPEECH}`"
        )
    open_N = np.zeros(frames, bool)
    inside_R = track.frames_N <= frames
    open_N[track.frames_N[inside_R] - 1] = is_open_R[inside_R]
    return open_N


def load_mouth(name: str, weights: Path, device: torch.device) -> MouthExtractor:
    """Return the extractor of the mouth, which runs on the processor. Raises UserError for a file that does not fit."""
    return MouthExtractor(weights)


def load_speech(name: str, weights: None, device: torch.device) -> SpeechProbabilityExtractor:
    """Return the extractor of speech, which has no weights of the user and runs on the processor."""
    return SpeechProbabilityExtractor()
