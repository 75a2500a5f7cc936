"""The sequence models under one interface, and on disk: model.safetensors and config.json.

Shapes: B windows, T rows, S predictions of a window, D values of a stream, O outputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from avf_shards.errors import UserError
from avf_shards.schema.fields import Fields
from avf_shards.schema.versions import stamp
from torch import Tensor, nn

from avf_training.framewise.labels.tasks import FrameLabelTask, find_task
from avf_training.framewise.models.cross_attention import AudioVisualModel
from avf_training.framewise.models.fusion_transformer import FusionTransformer
from avf_training.framewise.models.temporal import NarrowingLayers, StackedLayers, TemporalVersion, temporal_model
from avf_training.framewise.models.two_branches import SHARE_WHEN_TESTED, ClipFeatures, TwoBranchFusion
from avf_training.framewise.sampling.normalization import FeatureScale
from avf_training.framewise.tracks.identity import ExtractorIdentity
from avf_training.framewise.training.batch_parts import run_in_parts
from avf_training.framewise.training.frame_recipe import FrameRecipe, frame_recipe_from_frozen
from avf_training.models.pretrained import load_model_folder, load_strict, save_model_folder

KIND = "frames"


@dataclass(frozen=True, kw_only=True)
class FrameModelSpec:
    """What a sequence model is of: everything but its weights."""

    recipe: FrameRecipe
    task: FrameLabelTask
    identities: Mapping[str, ExtractorIdentity]  # of the tracks that it reads, by extractor
    widths: tuple[int, ...]  # D of each stream
    base_sha256: str | None = None  # of the weights that the frozen branch of fusion_two_branches has

    @property
    def split(self) -> int:
        """Return the number of streams that are looked at; those behind them are listened to."""
        return len(self.recipe.visual)

    @property
    def selects_apart(self) -> bool:
        """Return whether valence and arousal come from epochs of their own; a kernel machine, for one, has none."""
        has_epochs = self.recipe.model != "kernel_elm" and self.recipe.train_on == "train"
        return self.task.name == "va" and self.recipe.select == "apart" and has_epochs

    def to_json(self) -> dict[str, Any]:
        """Return the values for config.json."""
        identities = {
            name: {"settings": each.settings, "weights_sha256": each.weights_sha256}
            for name, each in self.identities.items()
        }
        base = {} if self.base_sha256 is None else {"base_sha256": self.base_sha256}
        return base | {
            "recipe": self.recipe.frozen(),
            "task": self.task.name,
            "extractors": identities,
            "widths": list(self.widths),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str) -> "FrameModelSpec":
        """Return the spec in a config. Raises UserError, FaultError."""
        fields = Fields(dict(values), where)
        extractors = fields.table("extractors")
        identities = {
            name: ExtractorIdentity(
                name=name,
                settings=extractors.table(name).text("settings"),
                weights_sha256=extractors.table(name).text("weights_sha256"),
            )
            for name in extractors.values
        }
        return cls(
            recipe=frame_recipe_from_frozen(fields.table("recipe").values),
            task=find_task(fields.text("task")),
            identities=identities,
            widths=tuple(int(each) for each in fields.items("widths")),
            base_sha256=fields.text("base_sha256") if "base_sha256" in fields.values else None,
        )


NetworkInput = tuple[Sequence[Tensor], Tensor | None]
"""Streams (B, T, D), and valid_BT, which is False for padding."""


class FrameNetwork(nn.Module):
    """A sequence model over streams of features."""

    def __init__(self, spec: FrameModelSpec) -> None:
        """Draw the weights. Raises UserError for a combination that there is no model of."""
        super().__init__()
        self.spec = spec
        recipe, looks, sounds = spec.recipe, spec.widths[: spec.split], spec.widths[spec.split :]
        try:
            self.net = _make_net(spec, sum(looks), sum(sounds))
        except (ValueError, AssertionError, RuntimeError) as error:
            raise UserError(
                f"{recipe.model} cannot be made for tracks of {', '.join(map(str, spec.widths))} values: {error}"
            ) from None
        for number, width in enumerate(spec.widths):  # of each stream; fitted on the training videos
            self.register_buffer(f"offset_{number}", torch.zeros(width, dtype=torch.float64))
            self.register_buffer(f"scale_{number}", torch.ones(width, dtype=torch.float64))

    def forward(
        self,
        streams: Sequence[Tensor],
        valid_BT: Tensor | None = None,
        hard: NetworkInput | None = None,
        share: float = SHARE_WHEN_TESTED,
        seeds: Sequence[int] | None = None,
    ) -> Tensor:
        """Return (B, S, O): valence and arousal, or logits. Collective where `seeds` are given.

        Args:
            streams: (B, T, D) of each.
            valid_BT: False for padding; None: there is none.
            hard: as many other clips, for the second branch while it is trained.
            share: of the first branch, where there are two.
            seeds: of what is random in each of as many equal parts of the windows; None: nothing is, as in evaluation.
        """
        if seeds is None:
            return self._predict(streams, valid_BT, hard, share)

        def predict(part: int) -> Tensor:
            size = len(streams[0]) // len(seeds)
            rows = slice(part * size, (part + 1) * size)
            hard_part = None if hard is None else _cut(hard, rows)
            return self._predict(*_cut((streams, valid_BT), rows), hard_part, share)

        return run_in_parts(self, seeds, predict)

    def _predict(
        self, streams: Sequence[Tensor], valid_BT: Tensor | None, hard: NetworkInput | None, share: float
    ) -> Tensor:
        net, split = self.net, self.spec.split
        mask = valid_BT if self.spec.recipe.mask_padding else None
        if isinstance(net, TwoBranchFusion):
            hard_clips = None if hard is None else self._clips(*hard)
            return cast(Tensor, net(self._clips(streams, valid_BT), hard_clips, share=share))
        if isinstance(net, AudioVisualModel):
            return cast(Tensor, net(torch.cat(tuple(streams[split:]), -1), streams[0], streams[1], mask))
        if isinstance(net, FusionTransformer):
            return cast(Tensor, net(*self._clips(streams, valid_BT)))
        x_BTD = torch.cat(tuple(streams), -1)
        takes_mask = isinstance(net, StackedLayers | NarrowingLayers)
        return cast(Tensor, net(x_BTD, mask) if takes_mask else net(x_BTD))

    def _clips(self, streams: Sequence[Tensor], valid_BT: Tensor | None) -> ClipFeatures:
        split = self.spec.split
        sounds = torch.cat(tuple(streams[split:]), -1) if streams[split:] else None
        mask = valid_BT if self.spec.recipe.mask_padding else None
        return ClipFeatures(torch.cat(tuple(streams[:split]), -1), sounds, mask)

    def layer(self, streams: Sequence[Tensor], valid_BT: Tensor | None = None) -> Tensor:
        """Return the output of the last layer, (B, T, C). Raises UserError for a model that has none."""
        if not isinstance(self.net, StackedLayers):
            raise UserError(f"{self.spec.recipe.model} has no layer to read; temporal_v1, v3 and v5 have one")
        mask = valid_BT if self.spec.recipe.mask_padding else None
        return self.net.features(torch.cat(tuple(streams), -1), mask)

    def set_scales(self, scales: Sequence[FeatureScale]) -> None:
        """Keep the scales of the training videos with the weights."""
        for number, scale in enumerate(scales):
            self.get_buffer(f"offset_{number}").copy_(torch.from_numpy(scale.offset_D))
            self.get_buffer(f"scale_{number}").copy_(torch.from_numpy(scale.width_D))

    def scales(self) -> tuple[FeatureScale, ...]:
        """Return the scales of the training videos."""
        return tuple(
            FeatureScale(
                offset_D=np.asarray(self.get_buffer(f"offset_{number}").cpu().numpy()),
                width_D=np.asarray(self.get_buffer(f"scale_{number}").cpu().numpy()),
            )
            for number in range(len(self.spec.widths))
        )

    def save(self, folder: Path) -> None:
        """Write the model into a new folder."""
        save_model_folder(folder, stamp({"kind": KIND, "model": self.spec.to_json()}, "saved model"), self.state_dict())


def _cut(clips: NetworkInput, rows: slice) -> NetworkInput:
    streams, valid_BT = clips
    return tuple(each[rows] for each in streams), None if valid_BT is None else valid_BT[rows]


def load_frame_network(folder: Path) -> FrameNetwork:
    """Return the model in a folder, in eval mode. Raises UserError, FaultError for one that is no such model."""
    values, tensors = load_model_folder(folder)
    if values["kind"] != KIND:
        raise UserError(f"{folder}: holds a {values['kind']}, not a sequence model of `avf-train train-frames`")
    model = FrameNetwork(FrameModelSpec.from_json(values["model"], f"{folder}/config.json: model"))
    load_strict(model, tensors, str(folder))
    return model.eval()


def _make_net(spec: FrameModelSpec, looks: int, sounds: int) -> nn.Module:
    recipe, outputs = spec.recipe, spec.task.outputs
    options = recipe.options
    if recipe.model == "cross_attention":
        if spec.widths[0] != spec.widths[1]:
            raise ValueError("both visual tracks must have vectors of one size")
        return AudioVisualModel(recipe.joining, sounds, spec.widths[0], outputs)
    if recipe.is_clip_model:
        make_fusion = partial(
            FusionTransformer,
            spec.task.name,
            visual_width=looks,
            audio_width=sounds,
            hidden=recipe.hidden,
            head=options.fusion_head,
            audio=options.fusion_audio,
        )
        is_single = recipe.model == "fusion_transformer"
        return make_fusion() if is_single else TwoBranchFusion(make_fusion(), make_fusion())
    version = options.temporal_model if recipe.model == "temporal" else recipe.model.removeprefix("temporal_")
    return temporal_model(cast(TemporalVersion, version), looks + sounds, outputs, recipe.window)
