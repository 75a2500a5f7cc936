"""The same run twice, with and without deterministic algorithms, and the same evaluation twice."""

from collections.abc import Iterator
from pathlib import Path

import torch
from avf_training.data.storage import StorageConfig
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.precision import set_numerics
from avf_training.pretraining.pretrain import PretrainingData, run_pretraining
from avf_training.pretraining.validation import ValidationClips

from benchmarks.gpu.nano_runs import failure_row, nano_recipe, read_losses
from benchmarks.gpu.results import PASSED, Row
from benchmarks.gpu.settings import PRECISIONS, Settings, precision_for


def repeat_rows(settings: Settings, shards: Path, folder: Path) -> Iterator[Row]:
    """Run twice with torch's deterministic algorithms, which must agree bit for bit, and twice without."""
    kinds = [(name, on) for name in ("fp32", "bf16") for on in (True, False)]
    for name, deterministic in kinds[:1] if settings.tiny else kinds:
        label: Row = {"precision": name, "deterministic algorithms": deterministic}
        recipe = nano_recipe(
            settings, precision=precision_for(name, settings), **({} if settings.tiny else {"steps": 10})
        )
        torch.use_deterministic_algorithms(deterministic)
        losses = []
        try:
            for number in range(2):
                out = folder / f"repeat-{name}-{deterministic}-{number}"
                run_pretraining(recipe, PretrainingData(shards=shards), out, device=settings.device)
                losses.append(read_losses(out))
        except Exception as error:  # such as a RuntimeError for an operation without a deterministic algorithm
            yield failure_row(label, error)
            continue
        finally:
            torch.use_deterministic_algorithms(False)
        equal = losses[0] == losses[1]
        yield {
            **label,
            "losses equal bit for bit": equal,
            "largest difference": max(abs(a - b) for a, b in zip(*losses, strict=True)),
            PASSED: equal or not deterministic,
        }


def evaluation_row(settings: Settings, shards: Path) -> Row:
    """Evaluate one model twice on the device, and once on the CPU."""
    recipe = nano_recipe(settings)
    set_numerics(None, PRECISIONS["fp32"])
    torch.manual_seed(0)
    model = MaskedAutoencoder(recipe.model_config())
    scores = []
    for device in (settings.device, settings.device, "cpu"):
        clips = ValidationClips(
            recipe.model_config(),
            recipe.masks,
            train=shards,
            validation=shards,
            storage=StorageConfig(),
            device=device,
        )
        scores.append(vars(clips.score(model.to(device))))
    repeated, on_cpu = (
        max(abs(scores[0][name] - other[name]) for name in other if name.endswith("_mse")) for other in scores[1:]
    )
    return {
        "clips": scores[0]["clips"],
        "largest difference of an error, repeated": repeated,
        "at most": 0.0,
        "to the CPU": on_cpu,
        "to the CPU at most": 1e-4,
        PASSED: repeated == 0 and on_cpu <= 1e-4,
    }
