"""Low-rank adapters in a run: put on a model that has loaded its start, and merged or taken out where it is saved."""

from collections.abc import Collection
from pathlib import Path

from avf_shards.errors import UserError
from torch import Tensor

from avf_training.distributed.parallelize import full_state_dict
from avf_training.finetuning.initialization import start_digest
from avf_training.models.classifier import Classifier
from avf_training.models.low_rank import AdapterBase, add_adapters, drop_base, frozen_tensors, merge_adapters
from avf_training.models.low_rank_config import LoraConfig
from avf_training.models.saved_config import read_saved_config
from avf_training.trainer.saved_model import start_model


def refuse_adapters(config: LoraConfig, start: Path | None) -> None:
    """Raise UserError where adapters have no weights to adapt, or none that they can be saved beside."""
    if not config.rank:
        return
    if start is None:
        raise UserError("lora.rank: adapters need weights that have learned; name a start with --model, or take rank 0")
    if config.save == "adapters" and "base" in read_saved_config(start_model(start)):
        raise UserError(f"{start}: holds adapters itself; take lora.save=merged, or start from a whole model")


def adapt_model(model: Classifier, config: LoraConfig, start: Path, new: Collection[str]) -> None:
    """Put adapters on a model that has loaded `start`. Raises UserError.

    Args:
        new: names of the tensors that the start did not have.
    """
    add_adapters(model, config, new)
    if config.save == "adapters":
        model.base = AdapterBase(
            folder=str(start_model(start).resolve()),
            sha256=start_digest(start),
            scale=config.scale,
            tensors=frozen_tensors(model, new),
        )


def tensors_to_save(model: Classifier, config: LoraConfig) -> dict[str, Tensor]:
    """Return the tensors that a folder of the model holds (collective: all ranks must call it)."""
    tensors = full_state_dict(model)
    if not config.rank:
        return tensors
    return merge_adapters(tensors, config.scale) if model.base is None else drop_base(tensors, model.base)
