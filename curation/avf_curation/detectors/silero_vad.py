"""Silero VAD (MIT): how probable speech is in each 32 ms of sound. The weights come with the program.

The arithmetic is that of the network in the package silero-vad, to 1e-5, and a test compares the two. It is in numpy:
the embedded backends need no torch, which takes six times as long, nor OpenCV's network, which takes ten times as long.
The package has two sets of weights of this network; its safetensors file is the one that numpy can read. A spectrum by
convolution, four convolutions and an LSTM cell; only the cell knows what came before a window.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from avf_shards.timeline import SAMPLES_PER_FRAME

from avf_curation.detectors.shipped_weights import SILERO
from avf_curation.detectors.weights import read_weights
from avf_curation.media.types import FULL_SCALE, Samples

WINDOW = 512  # samples, 32 ms at 16 kHz
_CONTEXT = 64  # samples of the window before that the network sees too
_REFLECTED = 64  # samples that are mirrored after the window
_BINS = 129  # of the spectrum: 0 to 8 kHz
_SPECTRUM, _HOP = 256, 128  # samples
_UNITS = 128  # of the LSTM cell
_PART = 256  # windows that are calculated at a time: sound of 8 s, so that memory does not grow with the sound

LEAST_PROBABILITY = 0.5  # of speech, as the authors of the network have it

Floats = npt.NDArray[np.float32]


class SileroVad:
    """The network with its weights. It has no state between two sounds."""

    def __init__(self, path: Path, digest: str | None = None) -> None:
        """Load the network of a file. Raises ReplacedWeightsError for one with another digest."""
        from safetensors.numpy import load

        weights = load(read_weights(path, digest))
        self._spectrum_KB = weights["stft_conv.weight"][:, 0].T.copy()
        self._convolutions = [_Convolution(weights, f"conv{n}", stride) for n, stride in enumerate((1, 2, 2, 1), 1)]
        self._input_UG = weights["lstm_cell.weight_ih"].T.copy()
        self._state_UG = weights["lstm_cell.weight_hh"].T.copy()
        self._bias_G = weights["lstm_cell.bias_ih"] + weights["lstm_cell.bias_hh"]
        self._last_U, self._last_bias = weights["final_conv.weight"][0, :, 0].copy(), weights["final_conv.bias"]

    @classmethod
    def from_program(cls, digest: str = SILERO.sha256) -> "SileroVad":
        """Load the network that comes with the program. Raises ReplacedWeightsError where it has another digest."""
        return cls(SILERO.path, digest)

    def find_speech(self, samples: Samples) -> npt.NDArray[np.bool_]:
        """Return whether each frame at 25 fps is speech, (frames,): the window at its middle is probably speech."""
        middles_T = np.arange(len(samples) // SAMPLES_PER_FRAME) * SAMPLES_PER_FRAME + SAMPLES_PER_FRAME // 2
        speech_T: npt.NDArray[np.bool_] = self.speech_probability(samples)[middles_T // WINDOW] >= LEAST_PROBABILITY
        return speech_T

    def speech_probability(self, samples: Samples) -> Floats:
        """Return the probability of speech in each window of 512 samples, (W,); the last one may be filled with zeros.

        Args:
            samples: Mono, 16 kHz, int16.
        """
        parts = [np.zeros(0, np.float32)]
        state = np.zeros((2, _UNITS), np.float32)
        for start in range(0, len(samples), _PART * WINDOW):
            before = samples[max(0, start - _CONTEXT) : start]
            sound = samples[start : start + _PART * WINDOW]
            part = np.zeros(_CONTEXT + -(-len(sound) // WINDOW) * WINDOW, np.float32)
            part[_CONTEXT - len(before) : _CONTEXT] = before
            part[_CONTEXT : _CONTEXT + len(sound)] = sound
            part /= np.float32(FULL_SCALE)
            framed = np.lib.stride_tricks.sliding_window_view(part, _CONTEXT + WINDOW)[::WINDOW]
            parts.append(self._run_lstm(self._encode(framed), state))
        return np.concatenate(parts)

    def _encode(self, sound_WS: Floats) -> Floats:
        """Return the features of each window, (W, units)."""
        padded_WS = np.pad(sound_WS, ((0, 0), (0, _REFLECTED)), mode="reflect")
        framed_WTK = np.lib.stride_tricks.sliding_window_view(padded_WS, _SPECTRUM, axis=1)[:, ::_HOP]
        waves_WTB = np.ascontiguousarray(framed_WTK) @ self._spectrum_KB
        features_WTC: Floats = np.sqrt(waves_WTB[..., :_BINS] ** 2 + waves_WTB[..., _BINS:] ** 2)
        for convolution in self._convolutions:
            features_WTC = convolution(features_WTC)
        return features_WTC[:, 0]

    def _run_lstm(self, features_WU: Floats, state: Floats) -> Floats:
        """Return the probability of each window, (W,), and move `state` (hidden and cell, (2, units)) past them."""
        gates_WG = features_WU @ self._input_UG + self._bias_G
        hidden_WU = np.empty_like(features_WU)
        hidden_U, cell_U = state
        for window, gates_G in enumerate(gates_WG):
            gates_G = gates_G + hidden_U @ self._state_UG
            input_U, forget_U, output_U = (_sigmoid(gates_G[n * _UNITS : (n + 1) * _UNITS]) for n in (0, 1, 3))
            cell_U = forget_U * cell_U + input_U * np.tanh(gates_G[2 * _UNITS : 3 * _UNITS])
            hidden_U = output_U * np.tanh(cell_U)
            hidden_WU[window] = hidden_U
        state[:] = hidden_U, cell_U
        return _sigmoid(np.maximum(hidden_WU, 0) @ self._last_U + self._last_bias)


class _Convolution:
    """A convolution over three steps of time, with its bias and ReLU."""

    def __init__(self, weights: dict[str, Floats], name: str, stride: int) -> None:
        kernel_OIK = weights[f"{name}.weight"]
        self._kernel_KO = kernel_OIK.transpose(2, 1, 0).reshape(-1, len(kernel_OIK)).copy()
        self._bias_O, self._stride = weights[f"{name}.bias"], stride

    def __call__(self, features_WTC: Floats) -> Floats:
        windows, times, channels = features_WTC.shape
        padded_WTC = np.zeros((windows, times + 2, channels), np.float32)
        padded_WTC[:, 1:-1] = features_WTC
        steps = [padded_WTC[:, t : t + 3].reshape(windows, -1) for t in range(0, times, self._stride)]
        summed_WTO: Floats = np.stack(steps, axis=1) @ self._kernel_KO + self._bias_O
        return np.maximum(summed_WTO, np.float32(0))


def _sigmoid(values: Floats) -> Floats:
    return np.float32(1) / (np.float32(1) + np.exp(-values))
