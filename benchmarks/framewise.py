"""The frame-level side: extraction beside the bare networks, a training step, the kernel ELM, and post-processing of 600 videos."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import torch
from avf_training.framewise.losses import valence_arousal_loss, weighted_action_unit_loss
from avf_training.framewise.models.fusion_transformer import CLIP_FRAMES, FrameTask, FusionTransformer
from avf_training.framewise.models.image_sizes import IMAGE_PRESETS
from avf_training.framewise.models.image_vit import ImageFeatureModel
from avf_training.framewise.models.speech_encoder import (
    BASE,
    PDEM,
    SpeechModel,
    build_speech_encoder,
    normalize_wave,
    speech_model,
)
from avf_training.framewise.models.static_nets import StaticNet
from avf_training.framewise.models.static_sizes import INPUT_PX, Backbone
from avf_training.framewise.models.vggish import VGGish
from avf_training.framewise.models.vggish_input import log_mel_examples
from avf_training.framewise.postprocessing.overlaps import merge_overlaps
from avf_training.framewise.postprocessing.smoothing import hamming_size, smooth_gaussian, smooth_hamming
from avf_training.framewise.postprocessing.timeline import average_same_times, interpolate_to_times
from avf_training.framewise.postprocessing.votes import mean_values
from avf_training.framewise.sampling.fusion_clips import cut_clips
from avf_training.framewise.tracks.footage import Footage
from avf_training.framewise.tracks.identity import ExtractorIdentity
from avf_training.framewise.tracks.picture_extractors import PictureExtractor
from avf_training.framewise.tracks.picture_folders import PictureFootage
from avf_training.framewise.tracks.sound_files import SoundFootage
from avf_training.framewise.tracks.speech_extractors import AcousticExtractor, SpeechExtractor, VGGishExtractor
from torch import nn

from benchmarks.table import Section, medians

_PICTURES, _PICTURE_PX = 16, 224  # of one batch; aligned faces of Aff-Wild2 are smaller, cut faces of a film larger
_SOUND_S, _FPS = 8, 25.0
_CPU = torch.device("cpu")
_IDENTITY = ExtractorIdentity.from_settings("benchmark", {}, "")
_ROUNDS = 3
_CLIPS = 32  # of a training step
_WINDOWS, _FEATURES = 25_000, 768  # of the kernel ELM
_MEMORY_LIMIT_GB = 8
_VIDEOS, _FRAMES = 600, 5000  # 3 million frames, as Aff-Wild2 has
Pair = tuple[str, int, Callable[[], object], Callable[[], object]]
"""Name, frames, extraction, and the bare network on the same input."""


def run() -> list[Section]:
    """Measure all four."""
    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    return [_extraction(), _fusion_step(), _kernel_elm(), _post_processing()]


def _extraction() -> Section:
    rows = [["extractor", "frames/s", "bare network, frames/s", "share of it"]]
    with tempfile.TemporaryDirectory() as name:
        # Networks are made one at a time, and let go: all of them are 2 GB.
        for make in (*_picture_pairs(Path(name)), *_sound_pairs()):
            label, frames, extract, bare = make()
            extract_s, bare_s = medians([extract, bare], time.perf_counter, _ROUNDS)
            rows.append([label, f"{frames / extract_s:,.1f}", f"{frames / bare_s:,.1f}", f"{bare_s / extract_s:.2f}"])
    note = (
        f"Full-size networks with drawn weights, float32. Pictures: {_PICTURES} JPEGs of {_PICTURE_PX} px, decoded, fitted and normalized, beside the network on a batch that is ready. "
        f"Sound: {_SOUND_S} s, of which a second has {_FPS:g} frames; PDEM hears each second twice. The goal is 0.8 of the bare network."
    )
    return Section("Extraction of feature tracks", note, rows)


def _picture_pairs(folder: Path) -> list[Callable[[], Pair]]:
    random = np.random.default_rng(0)
    files = tuple(folder / f"{number:05d}.jpg" for number in range(1, _PICTURES + 1))
    for file in files:
        blurred = cv2.GaussianBlur(random.integers(0, 255, (_PICTURE_PX, _PICTURE_PX, 3)).astype(np.uint8), (0, 0), 3)
        cv2.imwrite(str(file), blurred)
    footage = PictureFootage(files=files, fps=_FPS)
    names: list[Backbone] = ["efficientnet_b1", "efficientnet_b4", "vit_b_16"]
    if find_spec("timm"):
        names.append("hrnet_w32")
    return [partial(_vit, footage), *(partial(_static, footage, name) for name in names)]


def _vit(footage: Footage) -> Pair:
    config = IMAGE_PRESETS["b"]
    model = ImageFeatureModel(config, 8)
    return _picture_pair("vit (ViT-B/16)", footage, model, model.features, config.size_px)


def _static(footage: Footage, name: Backbone) -> Pair:
    model = StaticNet(name)
    return _picture_pair(name, footage, model, lambda pictures: model(pictures).embedding_BE, INPUT_PX[name])


def _picture_pair(
    name: str, footage: Footage, model: nn.Module, feature: Callable[[torch.Tensor], torch.Tensor], size_px: int
) -> Pair:
    extractor = PictureExtractor(model, feature, size_px, _IDENTITY, _CPU)
    ready = list(footage.pictures(size_px, _CPU))
    return name, _PICTURES, lambda: extractor.extract(footage), _without_gradients(lambda: [*map(feature, ready)])


def _sound_pairs() -> list[Callable[[], Pair]]:
    return [_wav2vec2, _vggish, *(partial(_pdem, version) for version in ("V1", "V3"))]


def _wav2vec2() -> Pair:
    footage, encoder = _sound(), build_speech_encoder(BASE)
    extractor = SpeechExtractor(encoder, _IDENTITY, _CPU)
    wave_1S = torch.from_numpy(footage.wave_S)[None]
    bare = _without_gradients(lambda: encoder.extract_features(wave_1S))
    return "wav2vec2 and hubert (base)", footage.frames, lambda: extractor.extract(footage), bare


def _vggish() -> Pair:
    footage, net = _sound(), VGGish()
    extractor = VGGishExtractor(net, None, _IDENTITY, _CPU)
    examples = torch.from_numpy(log_mel_examples(footage.wave_S.astype(np.float64))).float()
    return "vggish", footage.frames, lambda: extractor.extract(footage), _without_gradients(lambda: net(examples))


def _pdem(version: str) -> Pair:
    footage = _sound()
    model: SpeechModel = speech_model("V1" if version == "V1" else "V3")
    extractor = AcousticExtractor(model, _IDENTITY, _CPU)
    window_samples = 64_000
    starts = range(0, len(footage.wave_S) - window_samples // 2, window_samples // 2)
    windows = [torch.from_numpy(footage.wave_S[start : start + window_samples]) for start in starts]
    ready = [normalize_wave(nn.functional.pad(each, (0, window_samples - len(each))))[None] for each in windows]
    assert PDEM.width == 1024
    bare = _without_gradients(lambda: [model(each) for each in ready])
    name = f"pdem_v{version[1:]}" + (" and pdem_v2" if version == "V3" else "")
    return name, footage.frames, lambda: extractor.extract(footage), bare


def _sound() -> SoundFootage:
    wave_S = np.random.default_rng(0).uniform(-0.3, 0.3, 16_000 * _SOUND_S).astype(np.float32)
    return SoundFootage(wave_S=wave_S, rate=_FPS)


def _without_gradients(work: Callable[[], object]) -> Callable[[], object]:
    def run_without() -> object:
        with torch.no_grad():
            return work()

    return run_without


def _fusion_step() -> Section:
    rows = [["inputs", "parameters", f"step of {_CLIPS} clips of {CLIP_FRAMES} frames", "frames/s"]]
    kinds: tuple[tuple[str, FrameTask, int, int], ...] = (
        ("valence and arousal: 5 ViTs, HuBERT, VGGish (4,736 values)", "va", 3840, 896),
        ("action units: 4 ViTs (3,072 values)", "au", 3072, 0),
    )
    for label, task, visual, audio in kinds:
        model = FusionTransformer(task, visual_width=visual, audio_width=audio).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        streams = [torch.randn(_CLIPS, CLIP_FRAMES, width) for width in (visual, audio) if width]
        truth = torch.rand(_CLIPS, CLIP_FRAMES, 2 if task == "va" else 12).round(decimals=0 if task == "au" else 3)
        loss = valence_arousal_loss if task == "va" else weighted_action_unit_loss
        step = partial(_step, model, optimizer, streams, partial(_loss, loss, truth))
        (step_s,) = medians([step], time.perf_counter, 5)
        parameters = sum(each.numel() for each in model.parameters())
        rows.append([label, f"{parameters:,}", f"{1000 * step_s:,.0f} ms", f"{_CLIPS * CLIP_FRAMES / step_s:,.0f}"])
    note = "Forward, loss, backward and AdamW in float32; features are in memory."
    return Section("Training step of NetEase's fusion transformer", note, rows)


def _step(
    model: FusionTransformer,
    optimizer: torch.optim.Optimizer,
    streams: list[torch.Tensor],
    loss_of: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    optimizer.zero_grad()
    loss_of(model(*streams)).backward()
    optimizer.step()


def _loss(loss: Callable[..., torch.Tensor], truth: torch.Tensor, predicted: torch.Tensor) -> torch.Tensor:
    return loss(predicted, truth)


_ELM = f"""
import resource, time
import numpy as np
from avf_training.framewise.ensemble.kernel_elm import ElmSettings, fit_kernel_elm, predict_kernel_elm
random = np.random.default_rng(0)
features = random.standard_normal(({_WINDOWS}, {_FEATURES})).astype(np.float32)
targets = np.tanh(features[:, :2] + 0.1 * random.standard_normal(({_WINDOWS}, 2)).astype(np.float32))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started, cpu = time.perf_counter(), time.process_time()
machine = fit_kernel_elm(features, targets, ElmSettings())
fitted, fitted_cpu = time.perf_counter(), time.process_time()
predict_kernel_elm(machine, features[:2500])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(fitted - started, fitted_cpu - cpu, time.perf_counter() - fitted, (peak - before) / 1e6)
"""


def _kernel_elm() -> Section:
    limit = _MEMORY_LIMIT_GB * 10**9
    ended = subprocess.run(
        [sys.executable, "-c", _ELM],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(os.cpu_count() or 1)),
        preexec_fn=partial(resource.setrlimit, resource.RLIMIT_AS, (limit, limit)),
    )
    fit_s, fit_cpu_s, predict_s, peak_gb = map(float, ended.stdout.split())
    rows = [
        ["fit", "CPU time of it", "memory above the features", "prediction of 2,500 windows"],
        [f"{fit_s:,.0f} s", f"{fit_cpu_s:,.0f} s", f"{peak_gb:.1f} GB", f"{predict_s:.1f} s"],
    ]
    note = (
        f"{_WINDOWS:,} windows of 2 s with {_FEATURES} functionals, valence and arousal, RBF, Cholesky in float32; about the windows of Aff-Wild2. Measured once, in a process whose "
        f"address space is limited to {_MEMORY_LIMIT_GB} GB."
    )
    return Section("Kernel ELM", note, rows)


def _post_processing() -> Section:
    random = np.random.default_rng(0)
    clips = cut_clips(np.arange(_FRAMES), stride=CLIP_FRAMES // 2)
    predictions_KTD = random.uniform(-1, 1, (*clips.rows_KT.shape, 2))
    times_s = np.round(np.arange(1, _FRAMES + 1) / 30.0, 2)
    whole_ND = random.uniform(-1, 1, (_FRAMES, 2))
    steps: dict[str, Callable[[], object]] = {
        "predictions of overlapping clips to frames": lambda: merge_overlaps(predictions_KTD, clips.rows_KT, _FRAMES),
        "to the times of labels": lambda: interpolate_to_times(*average_same_times(times_s, whole_ND), times_s),
        "Gaussian smoothing, sigma 10": lambda: smooth_gaussian(whole_ND, 10.0),
        "Hamming smoothing, half a second": lambda: smooth_hamming(whole_ND, hamming_size(30.0)),
        "mean of five models": lambda: mean_values(np.stack([whole_ND] * 5)),
    }
    for work in steps.values():  # what is imported at the first call does not count
        work()
    seconds = medians(list(steps.values()), time.perf_counter)
    rows = [["step", "a video", f"{_VIDEOS} videos"]]
    rows += [
        [label, f"{1000 * each:.1f} ms", f"{_VIDEOS * each:.1f} s"] for label, each in zip(steps, seconds, strict=True)
    ]
    rows.append(["all", f"{1000 * sum(seconds):.1f} ms", f"{_VIDEOS * sum(seconds):.1f} s"])
    note = f"Valence and arousal of {_FRAMES:,} frames a video, clips of {CLIP_FRAMES} frames every {CLIP_FRAMES // 2}: {_VIDEOS * _FRAMES:,} frames in all, as Aff-Wild2 has. One process."
    return Section("Post-processing of predictions", note, rows)
