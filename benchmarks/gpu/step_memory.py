"""Memory of a pre-training step by the recipes as they are, under the limit of a card of 48 GB."""

from collections.abc import Iterator

import torch
from avf_training.config.pretrain import PretrainRecipe
from avf_training.distributed.collectives import process_group
from avf_training.distributed.context import DistributedContext
from avf_training.models.summary import training_bytes

from benchmarks.gpu.results import Row
from benchmarks.gpu.settings import Settings, recipe_for
from benchmarks.gpu.training_step import TrainingStep

_CARD_BYTES = 48 * 2**30  # of a card that is sold as 48 GB
_CONTEXT_BYTES = 2**30  # that CUDA and its libraries take of it, which the allocator does not see
_STEPS = 3


def run(settings: Settings) -> Iterator[tuple[str, Row]]:
    """Run steps of each size by its recipe, and with the other choice of computing activations again."""
    limit = _CARD_BYTES - _CONTEXT_BYTES
    if settings.device == "cuda":
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / torch.cuda.mem_get_info()[1]))
    with process_group(settings.device) as context:
        for model in ("avfmaepp_b",) if settings.tiny else ("avfmaepp_h", "avfmaepp_l", "avfmaepp_b"):
            recipe = recipe_for(model, settings)
            step = TrainingStep(recipe, context, settings.stored_px)
            step.set_precision(recipe.precision)
            for again in (recipe.activation_checkpointing, not recipe.activation_checkpointing):
                yield "Memory of a step within the limit of a 48 GB card", _row(step, recipe, again, context, limit)


def _row(step: TrainingStep, recipe: PretrainRecipe, again: bool, context: DistributedContext, limit: int) -> Row:
    """Return the row of one choice; a step that does not fit gets a note in place of figures."""
    on_cuda = context.device.type == "cuda"
    step.model.checkpoint_activations(again)
    config, clips = recipe.model_config(), recipe.micro_batch
    computed = training_bytes(config, recipe.masks, clips, recipe.precision, again)
    row: Row = {
        "recipe": recipe.model,
        "clips": clips,
        "activations computed again": again,
        "as the recipe says": again == recipe.activation_checkpointing,
        "computed GB": computed / 1e9,
        "limit GB": limit / 1e9,
    }
    if on_cuda:
        step.train_step.optimizer.zero_grad(set_to_none=True)
        step.train_step.optimizer.state.clear()
        step.batch = None
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        step.set_batch(clips)
        for _ in range(_STEPS):
            step.run()
    except torch.OutOfMemoryError:
        return {**row, "note": "out of memory"}
    if not on_cuda:
        return row
    return {
        **row,
        "measured GB": torch.cuda.max_memory_allocated() / 1e9,
        "measured over computed": torch.cuda.max_memory_allocated() / computed,
        "with the allocator's cache GB": torch.cuda.max_memory_reserved() / 1e9,
        "note": "",
    }
