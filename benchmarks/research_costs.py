"""CPU seconds of what research adds to a training: probes of frozen features, statistics that all ranks share, fingerprints of sound."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from avf_curation.pipeline.audio_fingerprint import compute_fingerprint
from avf_shards.packing.near_duplicates import NearDuplicateConfig, NearDuplicateIndex
from avf_shards.timeline import SAMPLE_RATE_HZ
from avf_training.evaluation.feature_health import measure_features
from avf_training.evaluation.probes import PROBES, FrozenFeatures, ProbeConfig, run_probe
from avf_training.models.batch_norm import UnitBatchNorm, update_running_statistics
from avf_training.models.classifier import Classifier
from avf_training.models.presets import preset
from torch import nn

from benchmarks.table import Section, cpu_s

_CLIPS, _TOKENS, _CLASSES = 100, 64, 4  # of each part; 64 tokens a modality are the most that the attentive probe takes
_WIDTHS = {"nano": 96, "avfmaepp_b": 512}
_BATCH = 8
_FINGERPRINTS, _WORDS = 2000, 125  # clips of 5 s


def run() -> list[Section]:
    """Measure all three."""
    torch.manual_seed(0)
    return [_probes(), _statistics(), _fingerprints()]


def _probes() -> Section:
    rows = [["model", "features", *PROBES, "rank, uniformity, alignment, R@1"]]
    for model, width in _WIDTHS.items():
        train, test = _draw_features(width), _draw_features(width)
        truth = np.arange(_CLIPS) % _CLASSES
        for name in PROBES:  # what is imported at the first call does not count
            run_probe(name, _cut(train), truth[:8].astype(float), _cut(test), classes=_CLASSES, config=ProbeConfig())
        probe = partial(
            run_probe, train=train, truth=truth.astype(float), test=test, classes=_CLASSES, config=ProbeConfig()
        )
        costs = [cpu_s(partial(probe, name), repeat=1 if name == "attentive" else 3) for name in PROBES]
        health = cpu_s(partial(measure_features, dict(train.pooled)))
        rows.append([model, _per_clip(model), *(f"{cost:.2f} s" for cost in costs), f"{1000 * health:.0f} ms"])
    note = (
        f"CPU seconds, on one thread and a machine that had other work too. Drawn features of {_CLIPS} training and {_CLIPS} test clips in {_CLASSES} classes. Features: of one clip, by the "
        "model; they are computed once for all probes, and a probe during pre-training takes linear and knn each time."
    )
    return Section("Probes of frozen features", note, rows)


def _draw_features(width: int) -> FrozenFeatures:
    pooled = {name: torch.randn(_CLIPS, width) for name in ("video", "audio")}
    tokens = {name: torch.randn(_CLIPS, _TOKENS, width) for name in pooled}
    return FrozenFeatures(keys=tuple(map(str, range(_CLIPS))), pooled=pooled, tokens=tokens)


def _cut(features: FrozenFeatures) -> FrozenFeatures:
    return features.select(range(8))


def _per_clip(name: str) -> str:
    config = preset(name)
    model = Classifier(config, _CLASSES).eval()
    shapes = config.geometry.video_shape, config.geometry.audio_shape
    inputs = [torch.randn(1, *shape) for shape in shapes]
    with torch.no_grad():
        model(*inputs)
        return f"{cpu_s(lambda: model(*inputs)):.2f} s"


def _statistics() -> Section:
    rows = [
        [
            "model",
            "layers",
            "a layer: moments summed",
            "a layer: batch norm of torch",
            "end of a step",
            "sent by each rank",
        ]
    ]
    for name in _WIDTHS:
        model = Classifier(preset(name), _CLASSES).train()
        layers = [module for module in model.modules() if isinstance(module, UnitBatchNorm)]
        layer = layers[0]
        x = torch.randn(_BATCH, layer.num_features, preset(name).geometry.frames)
        layer.deferred = True
        plain = nn.BatchNorm1d(layer.num_features).train()
        with torch.no_grad():
            costs = [_many(partial(layer, x)), _many(partial(plain, x))]
        for each in layers:
            each.deferred = True
            each.groups_U1 += 1
        sent = sum(8 * (each.sum_mean_UC.numel() + each.sum_var_UC.numel() + each.groups_U1.numel()) for each in layers)

        costs.append(_many(partial(_end_step, model, layers)))
        rows.append(
            [name, str(len(layers)), *(f"{1e6 * cost:,.0f} us" for cost in costs), f"{sent / 1000:,.1f} kB a step"]
        )
    note = (
        f"CPU time, on one thread, of a forward pass of a layer of batch norm with {_BATCH} clips: with the sums of moments that all ranks share, and as torch has it, where each rank "
        "keeps its own. At the end of a step one collective adds the sums of all layers over the ranks, in double precision. A step of AVF-MAE++ B takes seconds here."
    )
    return Section("Running statistics that all ranks share", note, rows)


def _end_step(model: nn.Module, layers: list[UnitBatchNorm]) -> None:
    for layer in layers:
        layer.groups_U1.fill_(1)
    update_running_statistics(model, skipped=False)


def _many(work: Callable[[], object], times: int = 200) -> float:
    """Return the CPU seconds of one of many calls."""
    work()
    return cpu_s(lambda: [work() for _ in range(times)]) / times


def _fingerprints() -> Section:
    random = np.random.default_rng(0)
    minute = random.integers(-8000, 8000, 60 * SAMPLE_RATE_HZ).astype(np.int16)
    words = {
        f"{number:05d}": random.integers(0, 2**32, _WORDS, np.uint32).astype("<u4") for number in range(_FINGERPRINTS)
    }
    groups = {key: key for key in words}

    def compare() -> None:
        index, keys = NearDuplicateIndex(words, groups, NearDuplicateConfig(), seed=0), set(words)
        for key in words:
            index.find(key, keys)

    rows = [
        ["what", "CPU"],
        [
            "fingerprint of a minute of sound, by curation",
            f"{1000 * cpu_s(lambda: compute_fingerprint(minute)):.0f} ms",
        ],
        [
            f"search for doubles among {_FINGERPRINTS:,} clips of 5 s (`avf-train overlap`, before a study)",
            f"{cpu_s(compare):.2f} s",
        ],
    ]
    return Section(
        "Fingerprints of sound",
        "Noise, of which no two clips agree. The search looks each clip up in an index of all others.",
        rows,
    )
