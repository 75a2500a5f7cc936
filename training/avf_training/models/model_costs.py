"""What is counted of a model's cost, the papers' figures, and the stored costs of the published models.

The stored costs spare `avf-train describe` the import of torch and a count of seconds for each model.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from avf_training.models.config import Modalities

PRESET_COSTS = Path(__file__).parent / "preset_costs.json"
CLASSES = 11  # MAFW, for which the papers count fine-tuning parameters


@dataclass(frozen=True, kw_only=True)
class CostSettings:
    """What the cost of a model depends on besides the model."""

    modalities: Modalities  # inputs of the model
    batch: int  # clips of the activation memory
    precision: Literal["fp32", "bf16", "fp16"]  # of the forward pass


STORED = CostSettings(modalities="av", batch=8, precision="bf16")


@dataclass(frozen=True, kw_only=True)
class PublishedSize:
    """The size of a model as the papers print it; None where they print nothing."""

    finetune_m: float | None = None  # parameters in fine-tuning, in millions
    pretrain_m: float | None = None  # parameters in pre-training, in millions
    finetune_g: float | None = None  # multiply-adds in fine-tuning, in 10^9


PUBLISHED: Mapping[str, PublishedSize] = {
    "hicmae_t": PublishedSize(finetune_m=20, pretrain_m=None, finetune_g=14),  # HiCMAE, Table 4
    "hicmae_s": PublishedSize(finetune_m=46, pretrain_m=None, finetune_g=28),
    "hicmae_b": PublishedSize(finetune_m=81, pretrain_m=99, finetune_g=46),  # 99: AVF-MAE++, Table 20
    "avfmaepp_b": PublishedSize(finetune_m=169),  # AVF-MAE++, Table 7
    "avfmaepp_l": PublishedSize(finetune_m=303),
    "avfmaepp_h": PublishedSize(finetune_m=521),
    "table20_vanilla_lgi": PublishedSize(finetune_m=None, pretrain_m=142),
    "table20_improved_lgi": PublishedSize(finetune_m=None, pretrain_m=163),
}
NOTES: Mapping[str, str] = {
    "hicmae_t": "its pre-training decoder is unpublished; chosen here: 128 wide, 2 heads",
    "nano": "ours, for laptops and tests",
}


@dataclass(frozen=True, kw_only=True)
class StageSummary:
    """Cost of one model in pre-training or in fine-tuning."""

    parameters: int  # in all
    parts: dict[str, int]  # parameters by part
    gmacs: float  # multiply-adds of one clip's forward pass, in 10^9
    activation_bytes: int  # that the backward pass of a batch needs


@dataclass(frozen=True, kw_only=True)
class ModelSummary:
    """Cost of one model in both stages."""

    name: str  # of the preset
    pretrain: StageSummary  # masked autoencoder
    finetune: StageSummary  # classifier
    tokens: dict[str, int]  # of one clip, by name
    published: PublishedSize  # the papers' figures
    note: str  # what the papers leave open


def costs_as_json(summaries: Iterable[ModelSummary]) -> bytes:
    """Return the bytes of PRESET_COSTS."""
    return (json.dumps([asdict(summary) for summary in summaries], indent=1) + "\n").encode()


def load_preset_costs() -> dict[str, ModelSummary]:
    """Return the stored cost of each published model, by its name."""
    return {
        values["name"]: ModelSummary(
            **{
                **values,
                "pretrain": StageSummary(**values["pretrain"]),
                "finetune": StageSummary(**values["finetune"]),
                "published": PublishedSize(**values["published"]),
            }
        )
        for values in json.loads(PRESET_COSTS.read_text("utf-8"))
    }
