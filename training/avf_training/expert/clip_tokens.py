"""Tokens of clips for a projector, each from the model of the fold that never saw the clip.

FILE.safetensors   key of a clip -> (K, C) float32; metadata expert_tokens: kind, protocol, dataset
"""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from avf_shards.errors import FaultError, UserError
from avf_shards.schema.versions import stamp
from avf_shards.system import durable_io
from avf_shards.system.own_files import bytes_with
from safetensors.torch import save
from torch import Tensor

from avf_training.config.finetune import SelectionProtocol
from avf_training.data.decode import StoredAudio
from avf_training.data.window_length import WINDOW_S
from avf_training.expert.fold_answers import ExpertAnswers
from avf_training.finetuning.finetune import load_best_model
from avf_training.inference.feature_model import FeatureModel
from avf_training.tasks.labelled_shards import LabelledShards

TOKEN_KINDS = ("regions", "frames")
_METADATA = "expert_tokens"
TOKENS_FILE = bytes_with("a file of avf-train expert tokens", _METADATA.encode())


def fold_tokens(
    answers: ExpertAnswers,
    shards: LabelledShards,
    protocol: SelectionProtocol,
    kind: str,
    *,
    device: str,
    on_clip: Callable[[int], None] = lambda count: None,
) -> dict[str, Tensor]:
    """Return the tokens (K, C) of the middle window of each clip that has an answer, from the model that answered.

    Args:
        kind: regions: the region tokens of the last video layer; frames: a token for each pair of frames.
        on_clip: called before each clip with the number of clips that are done.

    Raises:
        UserError: A model has no tokens of this kind.
        FaultError: A clip cannot be read.
    """
    index_of = {clip.key: clip.index for clip in shards.clips()}
    tokens: dict[str, Tensor] = {}
    for run in dict.fromkeys(answer.run for answer in answers.of_clip.values()):
        model = FeatureModel(load_best_model(run, protocol), device)
        for key, answer in answers.of_clip.items():
            if answer.run == run:
                on_clip(len(tokens))
                tokens[key] = _clip_tokens(model, shards.read(index_of[key]), kind, f"{run}: {key}")
    return dict(sorted(tokens.items()))


def _clip_tokens(model: FeatureModel, files: dict[str, bytes], kind: str, where: str) -> Tensor:
    try:
        windows = model.windows(StoredAudio(files["flac"]).frames, WINDOW_S)
        (features,) = model.features(files, [windows[len(windows) // 2]], per_frame=kind == "frames")
    except FaultError as error:
        raise FaultError(f"{where}: {error}") from None
    tokens_KC = features.regions_video if kind == "regions" else features.frames
    if tokens_KC is None:
        others = "its encoder has no video, or no regions; take --kind frames, or a model that has them"
        raise UserError(f"{where}: the model has no tokens of kind {kind}: {others}")
    return tokens_KC.detach().to(torch.float32).cpu().contiguous()


def write_tokens(path: Path, tokens: dict[str, Tensor], dataset: str, protocol: str, kind: str) -> None:
    """Write the tokens of clips."""
    values = stamp({"dataset": dataset, "protocol": protocol, "kind": kind}, "expert tokens")
    durable_io.replace_file(path, save(tokens, {_METADATA: json.dumps(values)}))
