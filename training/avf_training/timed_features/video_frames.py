"""What a video encoder sees at each frame of any rate. T stored pictures, B windows, F pictures of a window, P side.

N frames, L layers, C width.
"""

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from avf_shards.errors import UserError
from avf_shards.timeline import FRAMES_PER_SECOND
from torch import Tensor

from avf_training.data.decode import StoredAudio, decode_jpeg_planes, decode_planes
from avf_training.data.transforms import normalize_pixels, resample_pixels, video_input
from avf_training.data.window_length import STRIDE
from avf_training.inference.feature_model import FeatureModel
from avf_training.models.config import Geometry
from avf_training.models.encoder import Encoder
from avf_training.timed_features.audio_frames import TimedFeatures
from avf_training.timed_features.frame_rate import centre_pictures, check_fps, frame_centres_s, frames_of_length
from avf_training.timed_features.layers import Layers, parse_layers
from avf_training.timed_features.tokens import pick_tokens
from avf_training.timed_features.windows import Ints, TokenContext, WindowPlan, check_context, plan_windows, video_clock


class Pictures(Protocol):
    """Pictures at 25 frames a second."""

    def __len__(self) -> int:
        """Return T."""

    def windows(self, indices_BF: npt.NDArray[np.int64], geometry: Geometry) -> Tensor:
        """Return the encoder's input for these pictures, (B, 3, F, P, P)."""


class ClipPictures:
    """The pictures of a clip of shards, decoded once. Raises FaultError for one that cannot be read."""

    def __init__(self, files: dict[str, bytes]) -> None:
        """Decode them from the files of a clip by their kind."""
        self._full_range = "mp4" not in files
        indices = range(StoredAudio(files["flac"]).frames)
        if self._full_range:
            self._planes_TQW = torch.from_numpy(decode_jpeg_planes(files["frames"], indices))
        else:
            self._planes_TQW = torch.from_numpy(decode_planes(files["mp4"], indices))

    def __len__(self) -> int:
        return len(self._planes_TQW)

    def windows(self, indices_BF: npt.NDArray[np.int64], geometry: Geometry) -> Tensor:
        planes_BFQW = self._planes_TQW[torch.from_numpy(indices_BF)]
        side = planes_BFQW.shape[-1]
        boxes_B4 = torch.tensor([[0, 0, side, side]] * len(planes_BFQW))
        return video_input(planes_BFQW, torch.full((len(planes_BFQW),), self._full_range), boxes_B4, geometry)


class TensorPictures:
    """Pictures in memory: crops of a face as `avf-curate` makes them, or what a model has drawn."""

    def __init__(self, pictures_T3HW: Tensor) -> None:
        """Keep them. Raises UserError unless they are square RGB pictures in 0..1."""
        shape = tuple(pictures_T3HW.shape)
        if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3] or not shape[0]:
            raise UserError(f"pictures of shape {shape}: give (pictures, 3, side, side)")
        low, high = float(pictures_T3HW.min()), float(pictures_T3HW.max())
        if not pictures_T3HW.is_floating_point() or not 0 <= low <= high <= 1:
            raise UserError("pictures must be RGB as floats in 0 to 1")
        self._pictures_T3HW = pictures_T3HW.float()

    def __len__(self) -> int:
        return len(self._pictures_T3HW)

    def windows(self, indices_BF: npt.NDArray[np.int64], geometry: Geometry) -> Tensor:
        pictures_B3FHW = self._pictures_T3HW[torch.from_numpy(indices_BF)].transpose(1, 2)
        side = pictures_B3FHW.shape[-1]
        boxes_B4 = torch.tensor([[0, 0, side, side]] * len(pictures_B3FHW), dtype=torch.float32)
        return normalize_pixels(resample_pixels(pictures_B3FHW, boxes_B4, geometry.size_px))


class VideoFrames:
    """The video encoder of a saved model, asked at frames of one rate.

    A vector is the mean over space of the tube whose centre is the stored picture nearest to the centre of its frame:
    exactly that of the frame at 25 frames a second, within 20 ms at other rates. At the ends the first and the last
    picture are repeated.
    """

    def __init__(
        self,
        model: Path | str,
        *,
        fps: float = 25.0,
        layers: Layers = "last",
        context: TokenContext = "lattice",
        device: str = "cpu",
    ) -> None:
        """Load the encoder; arguments and errors as those of `AudioFrames`."""
        check_fps(fps)
        check_context(context)
        self.encoder = load_video_encoder(model, device)
        self.fps, self.context = fps, context
        self.layers = parse_layers(layers, len(self.encoder.blocks))

    def of_clip(self, files: dict[str, bytes]) -> TimedFeatures:
        """Return the vectors of a clip of shards, on the CPU. Raises FaultError for one that cannot be read."""
        return self._of(ClipPictures(files))

    def of_pictures(self, pictures_T3HW: Tensor) -> TimedFeatures:
        """Return the vectors of pictures at 25 frames a second, RGB in 0..1, square around a face, on the CPU."""
        return self._of(TensorPictures(pictures_T3HW))

    def of_reference(self, picture_3HW: Tensor) -> Tensor:
        """Return the vector of one picture that stands still, (L, C): all that is known before anything is drawn."""
        tube = video_clock(self.encoder.geometry).tokens // 2
        return self._see(TensorPictures(picture_3HW[None]), 0, tube)

    def of_previous(self, pictures_T3HW: Tensor) -> Tensor:
        """Return the newest vector of pictures drawn so far at 25 frames a second, (L, C); nothing later is seen."""
        clock = video_clock(self.encoder.geometry)
        start = len(pictures_T3HW) - 1 - clock.reach - clock.step * (clock.tokens - 1)
        return self._see(TensorPictures(pictures_T3HW), start, clock.tokens - 1)

    def _see(self, pictures: Pictures, start: int, tube: int) -> Tensor:
        plan = WindowPlan(starts_W=np.array([start]), window_N=np.array([0]), token_N=np.array([tube]))
        return self._pick(pictures, plan)[0]

    def _of(self, pictures: Pictures) -> TimedFeatures:
        frames = frames_of_length(len(pictures) / FRAMES_PER_SECOND, self.fps)
        plan = plan_windows(centre_pictures(frames, self.fps), video_clock(self.encoder.geometry), self.context)
        return TimedFeatures(times_s_N=frame_centres_s(frames, self.fps), vectors_NLD=self._pick(pictures, plan))

    @torch.no_grad()
    def _pick(self, pictures: Pictures, plan: WindowPlan) -> Tensor:
        geometry, parameter = self.encoder.geometry, next(self.encoder.parameters())

        def window_input(starts_B: Ints) -> Tensor:
            indices_BF = starts_B[:, None] + STRIDE * np.arange(geometry.frames)
            clips = pictures.windows(indices_BF.clip(0, len(pictures) - 1), geometry)
            return clips.to(parameter.device, parameter.dtype)

        return pick_tokens(self.encoder, plan, window_input, self.layers).float().cpu()


def load_video_encoder(model: Path | str, device: str = "cpu") -> Encoder:
    """Return the video encoder of a saved model or run. Raises UserError for a model that sees nothing."""
    loaded = FeatureModel(Path(model), device)
    if "v" not in loaded.config.modalities:
        raise UserError(f"{model}: is a model of sound alone, which sees nothing; name one with video")
    encoder: Encoder = loaded.model.encoder_video
    return encoder
