"""Shards become trained models: pre-training, post-pre-training, fine-tuning, evaluation. Reads avf_shards only.

The public API of inference is imported from here: `from avf_training import predict`.
"""

from typing import TYPE_CHECKING

from avf_shards import import_at_first_use

if TYPE_CHECKING:
    from avf_training.inference.api import PersonPrediction, WindowPrediction, embed_clips, predict
    from avf_training.inference.hub import from_pretrained, push_to_hub

__all__ = ["PersonPrediction", "WindowPrediction", "embed_clips", "from_pretrained", "predict", "push_to_hub"]


_MODULES = {
    **dict.fromkeys(("PersonPrediction", "WindowPrediction", "embed_clips", "predict"), "inference.api"),
    **dict.fromkeys(("from_pretrained", "push_to_hub"), "inference.hub"),
}
# torch takes seconds to import: `import avf_training` and `avf-train --help` must not wait for it.
__getattr__ = import_at_first_use(__name__, _MODULES)
