"""Speed of the frame-level side: steps of image MAE, extractors, static networks and fusion, and extraction beside the network."""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from avf_shards.system.processors import count_usable_cores
from avf_training.distributed.collectives import process_group
from avf_training.distributed.context import DistributedContext
from avf_training.framewise.models.image_mae import ImageMAE
from avf_training.framewise.models.image_sizes import IMAGE_PRESETS
from avf_training.framewise.models.image_vit import ImageFeatureModel
from avf_training.framewise.pictures.pretrain_recipe import load_image_recipe
from avf_training.framewise.pictures.pretraining import make_image_mae
from avf_training.framewise.pictures.pretraining_step import masked_forward
from avf_training.framewise.pictures.stream import MaskedPictureBatch
from avf_training.framewise.tracks.frame_feed import FrameFeed
from avf_training.framewise.tracks.identity import ExtractorIdentity, TrackSubject
from avf_training.framewise.tracks.picture_extractors import PictureExtractor
from avf_training.framewise.tracks.picture_folders import PictureFootage
from avf_training.framewise.tracks.track_input import FootageStretch, TrackInput
from avf_training.models.config import Precision
from avf_training.models.cost_counter import count_forward
from avf_training.models.precision import set_numerics
from avf_training.trainer.stream_run import make_step

from benchmarks.gpu.frame_runs import write_numbered_pictures
from benchmarks.gpu.frame_steps import Step, extractor_step, fusion_step, random_pixels, static_step
from benchmarks.gpu.results import Row
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.step_speed import PEAKS
from benchmarks.gpu.timing import matmul_flops, time_steps

_MAE, _OTHERS, _EXTRACTION = "Image MAE, a training step", "Other training steps", "Extraction of pictures"
_SIZES = (("b", 128), ("b", 512), ("l", 256), ("h", 128))
_STATIC = ("sun_b1", "sun_b4", "sun_vit", "sun_hrnet")
_PICTURES, _PICTURE_PX = 1280, 112  # of extraction; aligned faces of Aff-Wild2 have 112 px
_FP32 = Precision(compute="fp32", fp32_decoder=False)


def run(settings: Settings) -> Iterator[tuple[str, Row]]:
    """Time extraction first, then the steps of image MAE, then the others."""
    with process_group(settings.device) as context:
        side = 256 if settings.tiny else 8192
        peak = matmul_flops(settings.device, torch.bfloat16, side=side)
        single = matmul_flops(settings.device, torch.float32, side=side)
        yield PEAKS, {"bf16 TFLOP/s": peak / 1e12, "fp32 TFLOP/s": single / 1e12}
        yield _EXTRACTION, _attempt({"extractor": "vit"}, settings, partial(_extraction_row, settings))
        for size, batch in (("tiny", 4),) if settings.tiny else _SIZES:
            label: Row = {"model": f"image MAE {size}", "pictures": batch}
            yield _MAE, _attempt(label, settings, partial(_mae_row, size, batch, peak, context, settings))
        for label, make in _list_steps(settings):
            yield _OTHERS, _attempt(label, settings, partial(_step_row, make, settings))


def _attempt(label: Row, settings: Settings, make: Callable[[], Row]) -> Row:
    """Return a row; what does not fit or fails is a note in place of figures. The memory of the last row is let go."""
    if settings.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        return {**label, **make()}
    except Exception as error:  # one that fails is a result, and the others still count
        return {**label, "note": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}


def _peak_gb(settings: Settings) -> float | None:
    return torch.cuda.max_memory_allocated() / 1e9 if settings.device == "cuda" else None


def _mae_row(size: str, batch: int, peak: float, context: DistributedContext, settings: Settings) -> Row:
    """Time a step from pixels on the device to new weights, at a batch of one GPU."""
    compute = "fp32" if settings.tiny else "bf16"
    numbers = (f"batch={batch}", f"micro_batch={batch}", f"precision.compute={compute}")
    recipe = load_image_recipe(f"image_mae_{size}", (*numbers, "activation_checkpointing=false"))
    config = recipe.model_config()
    set_numerics(None, recipe.precision)
    with torch.device(settings.device):  # drawing 600 million weights takes a CPU seconds
        model = make_image_mae(recipe, context)
    step = make_step(model, model, masked_forward(recipe), recipe, lengths=(10_000, 10))
    pixels = random_pixels(batch, config.size_px, settings.device)
    order = torch.rand(batch, config.grid**2, device=settings.device).argsort(1)
    pictures = MaskedPictureBatch(
        first_position=0,
        keys=tuple(map(str, range(batch))),
        sources=("random",) * batch,
        faults=(),
        pixels_B3PP=pixels,
        order_BL=order,
    )
    timing = time_steps(lambda: step.run(20, [pictures]), settings.device, seconds=0.1 if settings.tiny else 1.0)
    shape = (3, config.size_px, config.size_px)
    forward = count_forward(lambda: ImageMAE(config), (shape,), (), 2, recipe.precision)
    flops_per_s = 3 * 2e9 * forward.gmacs * batch / timing.median_s
    return {
        "precision": compute,
        "step ms": 1000 * timing.median_s,
        "spread": timing.spread,
        "pictures/s": batch / timing.median_s,
        "TFLOP/s": flops_per_s / 1e12,
        "MFU": flops_per_s / peak,
        "peak GB": _peak_gb(settings),
    }


def _list_steps(settings: Settings) -> Iterator[tuple[Row, Callable[[], Step]]]:
    """Yield a label and the function that makes the step, which returns it with the pictures or clips of a batch."""
    device = settings.device
    compute = "fp32" if settings.tiny else "bf16"
    size, batch = ("tiny", 4) if settings.tiny else ("b", 128)
    yield (
        {"model": f"extractor {size}, expr", "recipe": "image_features", "precision": compute},
        partial(extractor_step, size, batch, compute, device),
    )
    yield (
        {"model": "fusion transformer, va", "precision": "fp32"},
        lambda: fusion_step(4 if settings.tiny else 32, device),
    )
    for name in _STATIC[:1] if settings.tiny else _STATIC:
        if name == "sun_hrnet" and not find_spec("timm"):
            continue
        for number_type in ("fp32",) if settings.tiny else ("fp32", "bf16"):
            yield (
                {"model": "static network", "recipe": name, "precision": number_type},
                partial(static_step, name, number_type, settings),
            )


def _step_row(make: Callable[[], Step], settings: Settings) -> Row:
    work, count = make()
    timing = time_steps(work, settings.device, seconds=0.1 if settings.tiny else 0.7)
    return {
        "batch": count,
        "step ms": 1000 * timing.median_s,
        "spread": timing.spread,
        "pictures or clips/s": count / timing.median_s,
        "peak GB": _peak_gb(settings),
    }


def _extraction_row(settings: Settings) -> Row:
    """Time extraction from files, decoded, fitted and normalized, beside the network on batches that are ready."""
    config, count = IMAGE_PRESETS["tiny" if settings.tiny else "b"], 8 if settings.tiny else _PICTURES
    set_numerics(None, _FP32)
    model = ImageFeatureModel(config, 8)
    device = torch.device(settings.device)
    extractor = PictureExtractor(
        model, model.features, config.size_px, ExtractorIdentity.from_settings("vit", {}, ""), device
    )
    with tempfile.TemporaryDirectory() as name:
        files = write_numbered_pictures(Path(name) / "video", count, _PICTURE_PX, "jpg")
        footage = PictureFootage(files=tuple(files), fps=25.0)
        ready = list(footage.pictures(config.size_px, device))

        @torch.no_grad()
        def bare() -> object:
            return [model.features(batch) for batch in ready]

        seconds = 0.1 if settings.tiny else 2.0
        workers = count_usable_cores()
        rates = {
            f"preparation alone, {threads} workers, pictures/s": count
            / time_steps(partial(_prepare, extractor, footage, threads), "cpu", seconds=seconds).median_s
            for threads in dict.fromkeys((0, 1, workers))
        }
        extract_s = time_steps(
            partial(_extract, extractor, footage, workers), "cpu", seconds=seconds, warmup=1
        ).median_s
    bare_s = time_steps(bare, settings.device, seconds=seconds).median_s
    return {
        "network": "ViT-B/16 in fp32",
        "pictures": count,
        "workers": workers,
        "pictures/s": count / extract_s,
        "bare network, pictures/s": count / bare_s,
        **rates,
        "share of the bare network": bare_s / extract_s,
    }


def _extract(extractor: PictureExtractor, footage: PictureFootage, workers: int) -> None:
    with FrameFeed(extractor.picture_input, workers) as feed:
        for _, stretches in feed.tracks([_as_input(footage)]):
            for stretch in stretches:
                extractor.extract(stretch.footage)


def _prepare(extractor: PictureExtractor, footage: PictureFootage, workers: int) -> None:
    """Do all that `_extract` does but the network."""
    asked = extractor.picture_input
    with FrameFeed(asked, workers) as feed:
        for _, stretches in feed.tracks([_as_input(footage)]):
            for stretch in stretches:
                list(stretch.footage.pictures(asked.size_px, asked.device))


def _as_input(footage: PictureFootage) -> TrackInput:
    frames_N = np.arange(1, footage.frames + 1)
    stretch = FootageStretch(footage=footage, frames_N=frames_N, times_s_N=(frames_N - 1) / footage.fps)
    subject = TrackSubject(source="benchmark", video_id="pictures")
    return TrackInput(subject=subject, fps=footage.fps, inputs_sha256="", read=lambda: iter([stretch]))
