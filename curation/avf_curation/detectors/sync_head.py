"""The learned sync network: how alike mouth and sound are at each shift, and what it says together with the envelope.

Two networks of convolutions over time give an embedding of unit length for each frame: one reads eleven distances
between the points of the mouth (face_mesh.py), and where it was learnt with it LR-ASD's embedding of the face
(face_components.py), one reads 40 mel levels of the sound, a hundred a second. The likeness
at a shift is the mean cosine of the embeddings that meet there. Its curve and the envelope's are standardised and
added; the peak is the offset. The confidence is the lead of the peak in the unit that calibration has found: 1 is the
least lead at which offsets of people that were held out were right as often as calibration asks (sync_learning.py).
Of a mouth that moves little the curves have high chance peaks, so there none but an offset of about 0 is told, and only
where each curve alone is high.

The arithmetic is numpy's, as Silero's is: the same bytes on every run, and no torch where nothing else needs it.

Shapes: T frames, D = 11 distances, V = 128 values of an embedding, F = 40 mel levels, S shifts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

from avf_curation.detectors.envelope_sync import FULL_LENGTH_S, TELLING_LENGTH_S, standardise_curve
from avf_curation.detectors.face_components import FaceComponents, load_components
from avf_curation.detectors.sync_head_file import SyncHeadFile, read_head
from avf_curation.media.types import FULL_SCALE, Samples
from avf_curation.stages.sync import PEAK_HALF_WIDTH, is_at_rim

STEPS_PER_FRAME, HOP, WINDOW, FFT = 4, 160, 400, 512  # samples at 16 kHz: 10 ms, 25 ms, 32 ms
MELS, LOWEST_HZ, HIGHEST_HZ = 40, 60.0, 7600.0
QUIET = 1e-6  # added to the power of a mel level
LEVEL_SCALE = 2.5  # nats: levels are about this far from their mean
# Of 218 pieces of 3, 5 and 8 s of eight real talkers 14 of 165 told offsets were wrong, 12 of them of one talker whose
# mouth moved by 0.07 to 0.09, and 7 pieces in sync were rejected. With these limits 3 of 143 are wrong, and none is.
LITTLE_MOTION = 0.13  # of the mouth, as EnvelopeScore has it
LEAST_HEIGHT = 1.75  # robust standard deviations: of each curve near the offset, where the mouth moves less than that
NEAR_FRAMES = 2
# A real talker in sync, in a small picture, was told to be 9 to 12 frames off with confidences of up to 3.4, each curve
# with its peak there. Of offsets that are told of such mouths, 46 of 47 were right in large pictures, 48 of 53 in small
# ones, and clips in sync are many more than others.
IN_PLACE_FRAMES = 1  # an offset of no more says that the sound is where it belongs
STRIDES = {"sound.0": 2, "sound.1": 2}  # of the convolutions that are not 1

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LearnedScore:
    """Offset and confidence of one clip."""

    offset: int  # frames by which the sound must be moved later
    confidence: float  # lead of the peak in units of the calibration, scaled with the clip's length; 0: cannot tell
    likeness: float  # largest mean cosine over the shifts: how well this voice fits this mouth


class SyncHead:
    """The network with its weights and its calibration."""

    def __init__(self, file: SyncHeadFile) -> None:
        self.card = file.card
        self._components = load_components(file.weights)
        self._mouth = _load_tower(file.weights, "mouth")
        self._sound = _load_tower(file.weights, "sound")

    @classmethod
    def from_file(cls, path: Path, digest: str | None = None) -> "SyncHead":
        """Load a file that `learn-sync` wrote. Raises UserError for any other, or one with another digest."""
        return cls(read_head(path, digest))

    @property
    def reads_embeddings(self) -> bool:
        """Whether the network reads LR-ASD's embedding of the face too."""
        return self._components is not None

    def likeness_by_shift(
        self, distances_TD: Floats, samples: Samples, shifts: int, *, embeddings_TV: Floats | None = None
    ) -> Doubles:
        """Return the mean cosine at each shift of the sound from -shifts to +shifts frames, (S,).

        Raises ValueError where the network reads embeddings and none are given.
        """
        frames = len(distances_TD)
        mouth_TE = _embed(self._mouth, read_mouth(distances_TD, embeddings_TV, self._components))
        sound_TE = _embed(self._sound, standardise_levels(mel_levels(samples, frames)))
        curve = []
        for shift in range(-shifts, shifts + 1):
            mouth_part = mouth_TE[max(0, shift) : frames + min(0, shift)]
            sound_part = sound_TE[max(0, -shift) : frames - max(0, shift)]
            curve.append(float(np.mean(np.sum(mouth_part * sound_part, axis=1))))
        return np.array(curve)

    def score(
        self,
        distances_TD: Floats,
        samples: Samples,
        envelope_S: Doubles,
        mouth_motion: float,
        shifts: int,
        *,
        embeddings_TV: Floats | None = None,
    ) -> LearnedScore:
        """Return what the likeness and the envelope's curve say together.

        Args:
            distances_TD: Of the mouth in each frame; at least three times `shifts`.
            samples: The sound of the same frames.
            envelope_S: The envelope's curve over the same shifts.
            mouth_motion: How much the mouth moves, as the envelope measured it.
            shifts: Frames to either side.
            embeddings_TV: LR-ASD's embedding of the face in each frame, where the network reads it.
        """
        likeness_S = self.likeness_by_shift(distances_TD, samples, shifts, embeddings_TV=embeddings_TV)
        length_s = len(distances_TD) / FRAMES_PER_SECOND
        offset, lead = weigh_curves(likeness_S, envelope_S, mouth_motion, length_s)
        return LearnedScore(
            offset=offset,
            confidence=lead / self.card.unit,
            likeness=float(likeness_S.max()),
        )


def weigh_curves(likeness_S: Doubles, envelope_S: Doubles, mouth_motion: float, length_s: float) -> tuple[int, float]:
    """Return the offset by both curves and the lead of its peak, scaled with the length; 0 where none may tell."""
    offset, lead = find_peak(likeness_S, envelope_S)
    if mouth_motion < LITTLE_MOTION and not _is_in_place(likeness_S, envelope_S, offset):
        return offset, 0.0
    return offset, scale_lead(lead, offset, length_s, len(likeness_S) // 2)


def _is_in_place(likeness_S: Doubles, envelope_S: Doubles, offset: int) -> bool:
    """Return whether the sound is where it belongs, and each curve alone is high within two frames of the offset."""
    middle = len(likeness_S) // 2
    near = slice(max(0, middle + offset - NEAR_FRAMES), middle + offset + NEAR_FRAMES + 1)
    is_high = all(standardise_curve(curve_S)[near].max() >= LEAST_HEIGHT for curve_S in (likeness_S, envelope_S))
    return is_high and abs(offset) <= IN_PLACE_FRAMES


def find_peak(likeness_S: Doubles, envelope_S: Doubles) -> tuple[int, float]:
    """Return the shift at which both curves together are highest, and its lead over shifts more than 3 frames away."""
    curve_S = standardise_curve(likeness_S) + standardise_curve(envelope_S)
    best = int(np.argmax(curve_S))
    elsewhere_S = np.abs(np.arange(len(curve_S)) - best) > PEAK_HALF_WIDTH
    return best - len(curve_S) // 2, float(curve_S[best] - curve_S[elsewhere_S].max())


def scale_lead(lead: float, offset: int, length_s: float, shifts: int) -> float:
    """Return the lead scaled with the clip's length, because short clips lead by chance; 0 where none may tell."""
    if length_s < TELLING_LENGTH_S or is_at_rim(offset, shifts):
        return 0.0
    return float(lead * min(1.0, length_s / FULL_LENGTH_S) ** 0.5)


def mel_levels(samples: Samples, frames: int) -> Floats:
    """Return the logarithm of the power in each mel band, a hundred times a second, (4 T, F)."""
    sound = samples[: frames * SAMPLES_PER_FRAME] / FULL_SCALE
    ahead = (WINDOW - HOP) // 2
    padded = np.zeros(ahead + frames * SAMPLES_PER_FRAME + WINDOW)
    padded[ahead : ahead + len(sound)] = sound
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][: STEPS_PER_FRAME * frames]
    power = np.abs(np.fft.rfft(windows * np.hanning(WINDOW), FFT)) ** 2
    return np.log(power @ _mel_filters().T + QUIET).astype(np.float32)


def standardise_levels(levels_TF: Floats) -> Floats:
    """Return levels without what the recording adds to each band, (4 T, F)."""
    standardised: Floats = (levels_TF - levels_TF.mean(axis=0)) / np.float32(LEVEL_SCALE)
    return standardised


def standardise_distances(distances_TD: Floats) -> Floats:
    """Return distances around their mean in standard deviations; one that does not change stays near zero."""
    least = 1e-3 * np.abs(distances_TD).mean() + 1e-6
    standardised: Floats = (distances_TD - distances_TD.mean(axis=0)) / (distances_TD.std(axis=0) + np.float32(least))
    return standardised


def read_mouth(distances_TD: Floats, embeddings_TV: Floats | None, components: FaceComponents | None) -> Floats:
    """Return what a network reads of the mouth in each frame: the distances, and beside them the components if any.

    Raises ValueError where there are components and no embeddings.
    """
    standardised_TD = standardise_distances(distances_TD)
    if components is None:
        return standardised_TD
    if embeddings_TV is None:
        raise ValueError("the network reads embeddings of the face, and none are given")
    return np.concatenate([standardised_TD, components.project(embeddings_TV)], axis=1)


def _mel_filters() -> Doubles:
    """Return triangular filters over FFT bins, (F, 257)."""

    def to_mel(hz: float) -> float:
        return float(2595 * np.log10(1 + hz / 700))

    corners = 700 * (10 ** (np.linspace(to_mel(LOWEST_HZ), to_mel(HIGHEST_HZ), MELS + 2) / 2595) - 1)
    hz = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE_HZ)[None]
    low, middle, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    return np.maximum(0.0, np.minimum((hz - low) / (middle - low), (high - hz) / (high - middle)))


@dataclass(frozen=True, kw_only=True)
class _Convolution:
    """A convolution over time that keeps the number of steps, or divides it by its stride."""

    kernel_KO: Floats  # rows: the inputs of the first step of the window, then of the next
    bias_O: Floats
    steps: int  # of the window
    stride: int

    def __call__(self, features_TC: Floats) -> Floats:
        margin = self.steps // 2
        padded_TC = np.zeros((len(features_TC) + 2 * margin, features_TC.shape[1]), np.float32)
        padded_TC[margin : margin + len(features_TC)] = features_TC
        windows_TCK = np.lib.stride_tricks.sliding_window_view(padded_TC, self.steps, axis=0)[:: self.stride]
        rows_TK = np.ascontiguousarray(windows_TCK.transpose(0, 2, 1)).reshape(len(windows_TCK), -1)
        return rows_TK @ self.kernel_KO + self.bias_O


def _load_tower(weights: Mapping[str, Floats], name: str) -> list[_Convolution]:
    """Return the convolutions of a network, in order: NAME.0, NAME.1 and so on."""
    layers: list[_Convolution] = []
    while f"{name}.{len(layers)}.weight" in weights:
        key = f"{name}.{len(layers)}"
        kernel_OCK = weights[f"{key}.weight"]
        layers.append(
            _Convolution(
                kernel_KO=np.ascontiguousarray(kernel_OCK.transpose(2, 1, 0)).reshape(-1, len(kernel_OCK)),
                bias_O=weights[f"{key}.bias"],
                steps=kernel_OCK.shape[2],
                stride=STRIDES.get(key, 1),
            )
        )
    return layers


def _embed(layers: list[_Convolution], features_TC: Floats) -> Floats:
    """Return the embedding of each frame, of length 1, (T, E)."""
    for layer in layers[:-1]:
        features_TC = np.maximum(layer(features_TC), np.float32(0))
    embeddings_TE = layers[-1](features_TC)
    unit_TE: Floats = embeddings_TE / (np.linalg.norm(embeddings_TE, axis=1, keepdims=True) + np.float32(1e-9))
    return unit_TE
