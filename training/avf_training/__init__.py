"""Shards become trained models: pre-training, post-pre-training, fine-tuning, evaluation. Reads avf_shards only.

The public API is imported from here: `import avf_training as train; train.finetune(...)`, `train.predict(...)`.
"""

from typing import TYPE_CHECKING

from avf_shards import import_at_first_use

if TYPE_CHECKING:
    from avf_training.finetune_api import FinetuneOptions, PosttrainOptions, StageRun, finetune, posttrain
    from avf_training.inference.api import PersonPrediction, WindowPrediction, embed_clips, predict
    from avf_training.inference.hub import from_pretrained, push_to_hub
    from avf_training.pretrain_api import PretrainedRun, PretrainOptions, pretrain

__all__ = [
    "FinetuneOptions",
    "PersonPrediction",
    "PosttrainOptions",
    "PretrainOptions",
    "PretrainedRun",
    "StageRun",
    "WindowPrediction",
    "embed_clips",
    "finetune",
    "from_pretrained",
    "posttrain",
    "predict",
    "pretrain",
    "push_to_hub",
]


_MODULES = {
    **dict.fromkeys(("FinetuneOptions", "PosttrainOptions", "StageRun", "finetune", "posttrain"), "finetune_api"),
    **dict.fromkeys(("PretrainOptions", "PretrainedRun", "pretrain"), "pretrain_api"),
    **dict.fromkeys(("PersonPrediction", "WindowPrediction", "embed_clips", "predict"), "inference.api"),
    **dict.fromkeys(("from_pretrained", "push_to_hub"), "inference.hub"),
}
# torch takes seconds to import: `import avf_training` and `avf-train --help` must not wait for it.
__getattr__ = import_at_first_use(__name__, _MODULES)
