"""The size of a micro-batch belongs to the machine, and may change between two starts of a run.

What clips compute together belongs to the run: clips are each other's negatives, and are normalized together by batch
norm, in groups that follow each other in the stream. By default a group is a micro-batch of the first start; later
starts keep the groups, and take any micro-batch that holds whole groups.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from avf_shards.errors import UserError

from avf_training.config.finetune import FinetuneRecipe
from avf_training.config.pretrain import PretrainRecipe
from avf_training.trainer.run_folder import RUN, read_identity

R = TypeVar("R", PretrainRecipe, FinetuneRecipe)


def fix_groups(recipe: R, out: Path, world: int) -> tuple[R, dict[str, Any]]:
    """Return the recipe with the groups of the run in `out`, and the part of the run's identity that holds its recipe.

    Raises UserError where the micro-batch does not hold whole groups.
    """
    before = read_identity(out) if (out / RUN).is_file() else {}
    first = int(before.get("recipe", {}).get("micro_batch", recipe.micro_batch))
    identity: dict[str, Any] = {"recipe": recipe.frozen() | {"micro_batch": first}}
    settings = json.loads(json.dumps(identity["recipe"]))
    if before and any(before["recipe"].get(name) != value for name, value in settings.items()):
        return recipe, identity  # the folder holds another run, which `freeze_identity` refuses by what differs
    model = recipe.model_config()
    detector = isinstance(recipe, FinetuneRecipe) and recipe.head == "detector"  # it has batch norm of its own
    if model.modalities == "av" and (detector or (model.fusion == "iavcl" and model.hafe)):
        clips = recipe.batch_norm_clips or first
        _check(clips, recipe.micro_batch, "batch norm normalizes", "batch_norm_clips")
        recipe = replace(recipe, batch_norm_clips=clips)
    if isinstance(recipe, PretrainRecipe) and model.modalities == "av" and recipe.contrastive.weight > 0:
        compared = recipe.micro_batch * (world if recipe.contrastive.negatives == "all_ranks" else 1)
        if recipe.contrastive.negatives == "all_ranks":
            # The first start's world is part of the objective, so it is written down.
            identity["negatives_clips"] = int(before.get("negatives_clips", recipe.contrastive.clips or compared))
            clips = identity["negatives_clips"]
        else:
            clips = recipe.contrastive.clips or first
        _check(clips, compared, "the contrastive loss compares", "contrastive.clips")
        recipe = replace(recipe, contrastive=replace(recipe.contrastive, clips=clips))
    return recipe, identity


def _check(clips: int, available: int, what: str, setting: str) -> None:
    if available % clips:
        raise UserError(
            f"in this run {what} groups of {clips} clips ({setting}), and {available} clips at once are not a whole "
            "number of them; take a micro_batch that is, or `--set activation_checkpointing=true` to need less memory"
        )
