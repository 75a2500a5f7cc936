"""The visual branch: vectors of a face join the tokens of sound behind a gate that is shut at first.

B rows of a batch, A tokens of sound, V vectors of the face, C width of the sound, D width of the face.
"""

import torch
from avf_shards.errors import UserError
from torch import Tensor, nn


class GatedVisual(nn.Module):
    """Adds a linear map of the face to each token of sound, times the tanh of a gate for each channel.

    The gate starts at zero, where the tokens are those of the sound to the bit; the first gradient opens it.
    """

    def __init__(self, audio_width: int, video_width: int) -> None:
        """Make the map and the gate.

        Args:
            audio_width: C, of the tokens of sound.
            video_width: D, of the vectors of the face.
        """
        super().__init__()
        self.project = nn.Linear(video_width, audio_width)
        self.gate = nn.Parameter(torch.zeros(audio_width))

    def forward(self, audio_BAC: Tensor, video_BVD: Tensor, audio_times_s_A: Tensor, video_times_s_V: Tensor) -> Tensor:
        """Return the tokens with what is seen at their times, (B, A, C). Raises UserError for times that do not fit.

        Args:
            audio_BAC: tokens of sound.
            video_BVD: vectors of the face, of `VideoFrames`; one of a reference is held for all times.
            audio_times_s_A: when the tokens are.
            video_times_s_V: when the face is seen, rising, on the same clock.
        """
        for name, vectors, times in (("sound", audio_BAC, audio_times_s_A), ("face", video_BVD, video_times_s_V)):
            if vectors.ndim != 3 or times.shape != vectors.shape[1:2]:
                raise UserError(
                    f"{name}: {tuple(vectors.shape)} of (rows, times, width) with {tuple(times.shape)} times"
                )
        at_tokens_BAD = _between(video_BVD, video_times_s_V, audio_times_s_A)
        joined_BAC: Tensor = audio_BAC + self.gate.tanh() * self.project(at_tokens_BAD)
        return joined_BAC


def _between(vectors_BVD: Tensor, times_V: Tensor, asked_A: Tensor) -> Tensor:
    """Return vectors at other times, linear between two, and the first and the last one held beyond them."""
    times_V, asked_A = times_V.double(), asked_A.double()
    if len(times_V) == 1:
        return vectors_BVD.expand(-1, len(asked_A), -1)
    if not (times_V.diff() > 0).all():
        raise UserError("the times of the face must rise")
    right_A = torch.searchsorted(times_V, asked_A).clamp(1, len(times_V) - 1)
    left_A = right_A - 1
    share_A = ((asked_A - times_V[left_A]) / (times_V[right_A] - times_V[left_A])).clamp(0, 1)
    return torch.lerp(vectors_BVD[:, left_A], vectors_BVD[:, right_A], share_A.to(vectors_BVD.dtype)[:, None])
