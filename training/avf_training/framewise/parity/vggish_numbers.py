"""VGGish beside the published port: windows, spectra, bands, log-mels, the network, and its post-processing."""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from avf_training.conversion.parity import ParityRow
from avf_training.framewise.models import vggish_input
from avf_training.framewise.models.vggish import VGGish, Whitening
from avf_training.framewise.parity.model_files import DOUBLE, compare_both_precisions, stored_tensor
from avf_training.framewise.parity.rows import OracleNumbers, compare_pairs
from avf_training.models.pretrained import load_strict

INT16_SCALE = 32_768.0
BANDS_ROUNDED = 2e-7  # of the band weights, which the file holds in float32


def compare_vggish(file: str, oracle: OracleNumbers) -> list[ParityRow]:
    """Return all groups but that of stereo sound at another rate, whose wave the file does not hold."""
    wave = np.asarray(oracle["in.wave_int16"], np.float64) / INT16_SCALE
    bands = vggish_input.mel_matrix()
    exact = [
        ("hann400.first8", vggish_input.hann_window()[:8], oracle["hann400.first8"]),
        ("stft_frame0_mag", vggish_input.magnitudes(wave)[0], oracle["stft_frame0_mag"]),
        ("mel.column_sums", bands.sum(0), oracle["mel.column_sums"]),
        ("out.examples", vggish_input.log_mel_examples(wave), oracle["out.examples"]),
    ]
    matrix = [("mel_matrix_257x64", bands, oracle["mel_matrix_257x64"])]
    return [
        compare_pairs(file, "log-mels", exact, DOUBLE),
        compare_pairs(file, "band weights, stored in float32", matrix, BANDS_ROUNDED),
        *compare_both_precisions(file, oracle, partial(_network_outputs, oracle)),
    ]


def _network_outputs(oracle: OracleNumbers, dtype: torch.dtype) -> dict[str, Tensor]:
    start = "tiny.w."
    theirs = {name[len(start) :]: stored_tensor(oracle, name) for name in oracle if name.startswith(start)}
    channels = tuple(len(theirs[f"features.{number}.bias"]) for number in (0, 3, 6, 8, 11, 13))
    model = VGGish(channels, tuple(len(theirs[f"embeddings.{number}.bias"]) for number in (0, 2, 4)))
    load_strict(model, theirs, start)
    model.to(dtype).eval()
    examples_EFM = stored_tensor(oracle, "in.x", dtype)
    whitening = Whitening(len(oracle["post.pca_means"]))
    whitening.load_state_dict(
        {name: stored_tensor(oracle, f"post.{name}") for name in ("pca_eigen_vectors", "pca_means")}
    )
    return {
        "tiny.features": model.features(examples_EFM[:, None]),
        "tiny.embedding": model(examples_EFM),
        "post.out": whitening.to(dtype)(stored_tensor(oracle, "post.in", dtype)),
    }
