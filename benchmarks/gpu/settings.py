"""Settings of a call, the precisions that are compared, and the models that a part measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from avf_training.config.pretrain import PretrainRecipe, load_recipe
from avf_training.models.config import Precision


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings that every part takes."""

    device: str  # "cuda" or "cpu"
    tiny: bool  # the smallest models and few steps: a dry run, whose figures mean nothing

    @property
    def stored_px(self) -> int:
        """Height and width of stored frames."""
        return 64 if self.tiny else 224


PRECISIONS: Mapping[str, Precision] = {
    "fp32": Precision(compute="fp32", fp32_decoder=False),
    "TF32": Precision(compute="fp32", fp32_decoder=False, tf32=True),
    "bf16": Precision(compute="bf16", fp32_decoder=False),
    "fp16": Precision(compute="fp16", fp32_decoder=False),
    "bf16, decoders TF32": Precision(compute="bf16", fp32_decoder=True, tf32=True),
    "fp16, decoders fp32": Precision(compute="fp16", fp32_decoder=True),  # of AVF-MAE++ 5.2
}
_NANO_HICMAE = {"encoder": "vit", "fusion": "cross"}


def precision_for(label: str, settings: Settings) -> Precision:
    """Return the precision of a label; in a dry run fp32, because a CPU without bf16 products takes minutes for them."""
    return Precision(compute="fp32", fp32_decoder=False) if settings.tiny else PRECISIONS[label]


def recipe_for(model: str, settings: Settings) -> PretrainRecipe:
    """Return the recipe of a model; in a dry run that of nano, with HiCMAE's encoder and fusion for its models."""
    if not settings.tiny:
        return load_recipe(model)
    nano = load_recipe("nano", ["batch=2", "micro_batch=2", "steps=3", "warmup_steps=1", "eval_every=0"])
    if model == "fast":
        return replace(nano, precision=Precision(compute="fp32", fp32_decoder=False))
    return replace(nano, variant=_NANO_HICMAE) if model.startswith("hicmae") else nano


def smallest(names: Sequence[str], settings: Settings) -> Sequence[str]:
    """Return the names, or in a dry run the first and the last alone."""
    return [names[0], names[-1]] if settings.tiny else names
