"""NetEase's second branch: a finished fusion transformer is frozen, and another one learns from the clips hard for it.

Shapes: K training clips, B clips, S predictions of a clip, O outputs.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from avf_shards.errors import UserError
from avf_shards.text import count_noun

from avf_training.distributed.environment import ALONE, WorldSize
from avf_training.evaluation.metrics import Floats
from avf_training.framewise.labels.trained_videos import bind_trained_videos, split_trained
from avf_training.framewise.metrics import WholeNumbers
from avf_training.framewise.protocol import ProtocolOptions
from avf_training.framewise.sampling.hard_clips import draw_hard_clips
from avf_training.framewise.tracks.extractor import digest_weights
from avf_training.framewise.training.frame_network import FrameModelSpec, FrameNetwork, load_frame_network
from avf_training.framewise.training.frame_objective import FrameLoss, loss_of_frames
from avf_training.framewise.training.frame_recipe import FrameRecipe
from avf_training.framewise.training.frame_result import read_result
from avf_training.framewise.training.frame_selection import WHOLE
from avf_training.framewise.training.labelled_videos import LabelledVideos
from avf_training.framewise.training.window_data import RowsOfVideo
from avf_training.framewise.training.window_loader import WindowLoader
from avf_training.trainer.run_folder import RESULT

BASE_MODEL = "fusion_transformer"
_SHARED = ("visual", "audio", "normalization", "hidden", "mask_padding", "fold", "fold_seed", "train_on")
"""Settings that both branches have: what they read, their size, and which videos neither has seen."""
_CLIPS = 32  # of a forward pass


class HardClipLoader(WindowLoader):
    """Batches of all clips for the frozen branch, and of hard clips and as many others for the one that learns.

    An epoch has each hard clip once; the others are drawn anew in each.
    """

    def __init__(
        self,
        videos: Sequence[RowsOfVideo],
        recipe: FrameRecipe,
        options: ProtocolOptions,
        device: torch.device,
        *,
        losses_K: Floats,
        process: WorldSize = ALONE,
    ) -> None:
        """Cut the clips. Raises UserError where there is none.

        Args:
            videos: to train on.
            recipe: of the run.
            options: of its protocol.
            device: of the batches.
            losses_K: of the frozen branch on each clip.
            process: of those that share each batch.
        """
        super().__init__(videos, recipe, options, device, process)
        self._losses_K = losses_K

    def describe_hard(self) -> str:
        """Return how many clips an epoch has for the branch that learns."""
        return f" ({len(self._draw_hard(0)):,} of them, the hard ones and others, an epoch of the second branch)"

    @property
    def batch_windows(self) -> int:
        """Return the clips of a batch for either branch."""
        return min(self._recipe.batch, len(self._draw_hard(0)))

    @property
    def steps_per_epoch(self) -> int:
        """Return the batches of an epoch."""
        return max(1, len(self._draw_hard(0)) // self.batch_windows)

    def _draw_hard(self, epoch: int) -> WholeNumbers:
        recipe = self._recipe
        return draw_hard_clips(self._losses_K, seed=recipe.seed, epoch=epoch, hard_share=recipe.hard_share)

    def _draw_orders(self, epoch: int) -> tuple[WholeNumbers, ...]:
        hard = np.random.default_rng((self._recipe.seed, epoch, 1)).permutation(self._draw_hard(epoch))
        return *super()._draw_orders(epoch), hard


def load_base(spec: FrameModelSpec) -> tuple[FrameNetwork, str]:
    """Return the model of the run that the recipe names, and the SHA-256 of its weights.

    Raises UserError for a run that is not finished, or of other tracks, of another size or of other videos.
    """
    recipe = spec.recipe
    if recipe.base is None:
        raise UserError(
            f"{recipe.model} needs a finished run of {BASE_MODEL}, whose model is its frozen branch: --set base=RUN"
        )
    run = Path(recipe.base)
    result = read_result(run)
    if result["model"] != BASE_MODEL or result["task"] != spec.task.name:
        raise UserError(
            f"{run}: is a run of {result['model']} for {result['task']}; the frozen branch is {BASE_MODEL} for "
            f"{spec.task.name}"
        )
    folder = run / result["best"][WHOLE]["folder"]
    if not folder.is_dir():
        raise UserError(f"{run}: lacks the model of its best epoch; train it in a new folder")
    base = load_frame_network(folder)
    _check_alike(run, base.spec, spec)
    return base, digest_weights(folder)


def add_trained_of_base(spec: FrameModelSpec, videos: LabelledVideos) -> LabelledVideos:
    """Return the videos with those that the base was trained on. Raises UserError where some are to be scored here."""
    run = Path(str(spec.recipe.base))
    result = read_result(run)
    if "trained_videos" not in result:
        return videos
    trained = bind_trained_videos(result["trained_videos"], f"{run / RESULT}: trained_videos")
    seen, _ = split_trained(trained, [each.labels.subject for each in videos.validation])
    if seen and spec.recipe.train_on == "train":
        raise UserError(
            f"{run}: was trained on {count_noun(len(seen), 'video')} of validation, such as {seen[0]}; train it on the "
            "same sets"
        )
    return replace(videos, trained=videos.trained.add(trained.videos))


def _check_alike(run: Path, base: FrameModelSpec, spec: FrameModelSpec) -> None:
    pairs = [(name, getattr(base.recipe, name), getattr(spec.recipe, name)) for name in _SHARED]
    pairs += [
        (f"protocol_options.{name}", getattr(base.recipe.options, name), getattr(spec.recipe.options, name))
        for name in ("fusion_head", "fusion_audio")
    ]
    other = [f"{name} {theirs} there and {ours} here" for name, theirs, ours in pairs if theirs != ours]
    if other:
        raise UserError(f"{run}: both branches need the same settings: {'; '.join(other)}")
    for name, identity in spec.identities.items():
        if base.identities.get(name) != identity:
            raise UserError(f"{run}: was trained on tracks of other weights of {name}; extract with one of both")


def put_base(model: FrameNetwork, base: FrameNetwork) -> None:
    """Give the frozen branch of a model the weights and the scales of a base."""
    branch = model.net.get_submodule("base")
    branch.load_state_dict(base.net.state_dict())
    model.set_scales(base.scales())


@torch.no_grad()
def measure_clips(base: FrameNetwork, loader: WindowLoader, loss_of: FrameLoss) -> Floats:
    """Return the loss of a base on each clip by itself, (K,); 0 for a clip without a label."""
    base = base.eval()
    losses = []
    for start in range(0, len(loader), _CLIPS):
        batch = loader.read_windows(np.arange(start, min(start + _CLIPS, len(loader))))
        predicted_BSO = base(batch.streams, batch.valid_BT)
        for number in range(len(predicted_BSO)):
            part = slice(number, number + 1)
            losses.append(float(loss_of_frames(loss_of, predicted_BSO[part], batch.values_GSK[part])))
    return np.array(losses)
