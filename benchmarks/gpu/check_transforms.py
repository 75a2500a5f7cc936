"""Correctness of colour, crop and log-mel energies on the device, compared with float64 on the CPU."""

from collections.abc import Iterator

import torch
from avf_training.data.batch import Batch
from avf_training.data.colour import planes_to_rgb, split_planes
from avf_training.data.pretraining_sampler import PretrainingBatch
from avf_training.data.transforms import crop_pixels, decode_waveform, log_mel_batch, resample_pixels
from torch import Tensor

from benchmarks.gpu.inputs import random_batch
from benchmarks.gpu.results import PASSED, Row
from benchmarks.gpu.settings import PRECISIONS, Settings, recipe_for

_PIXEL_TOLERANCE = 1e-4  # of RGB in [0, 1]; a step of 8-bit colour is 4e-3
_MEL_TOLERANCE = 2e-3  # of normalized log-mel energies, whose deviation is about 0.5


def run(settings: Settings) -> Iterator[tuple[str, Row]]:
    """Compare both transforms in fp32 on the CPU and on the device; log-mel energies also with TF32 allowed."""
    recipe = recipe_for("avfmaepp_b", settings)
    geometry = recipe.model_config().geometry
    batch = _with_silence(random_batch(recipe, 4 if settings.tiny else 16, settings.stored_px, "cpu"))
    boxes_B4 = torch.tensor([clip.crop.box(settings.stored_px) for clip in batch.params], dtype=torch.float32)
    gain_B = torch.tensor([clip.gain for clip in batch.params])
    pixels = _exact_pixels(batch, boxes_B4, geometry.size_px)
    wave_BS = decode_waveform(batch.waveform_RS, batch.samples_R, gain_B)
    mel = log_mel_batch(wave_BS.double(), batch.samples_R, geometry)
    for device in dict.fromkeys(("cpu", settings.device)):
        placed: Batch = batch.to(device)
        result = crop_pixels(placed.planes_RTQW, placed.full_range_R, boxes_B4, geometry.size_px)
        label: Row = {"transform": "crop and colour", "device": device, "products": "fp32"}
        yield "Transforms against float64 on the CPU", _row(label, result, pixels, _PIXEL_TOLERANCE)
        for products in ("fp32", "TF32"):
            allow_tf32 = PRECISIONS[products].tf32
            torch.set_float32_matmul_precision("high" if allow_tf32 else "highest")
            result = log_mel_batch(
                decode_waveform(placed.waveform_RS, placed.samples_R, gain_B), placed.samples_R, geometry
            )
            label = {"transform": "log-mel energies", "device": device, "products": products}
            # TF32 keeps 10 bits of a factor: 1e-3 of an energy, of its logarithm and, halved by the deviation, 1e-4.
            yield "Transforms against float64 on the CPU", _row(label, result, mel, _MEL_TOLERANCE)
    torch.set_float32_matmul_precision("highest")


def _exact_pixels(batch: PretrainingBatch, boxes_B4: Tensor, size_px: int) -> Tensor:
    luma, chroma = (part.double() for part in split_planes(batch.planes_RTQW))
    boxes_B4 = boxes_B4.double()
    return planes_to_rgb(
        resample_pixels(luma, boxes_B4, size_px), resample_pixels(chroma, boxes_B4 / 2, size_px), batch.full_range_R
    )


def _with_silence(batch: PretrainingBatch) -> PretrainingBatch:
    """Make the first clip silent, cut the second one's audio short, and give the third full-range planes."""
    batch.waveform_RS[0] = 0
    batch.samples_R[1] //= 2
    batch.waveform_RS[1, int(batch.samples_R[1]) :] = 0
    batch.full_range_R[2] = True
    return batch


def _row(label: Row, result: Tensor, exact: Tensor, tolerance: float) -> Row:
    error = (result.double().cpu() - exact).abs()
    largest = float(error.max())
    return {
        **label,
        "largest error": largest,
        "at most": tolerance,
        "mean error": float(error.mean()),
        PASSED: largest <= tolerance,
    }
