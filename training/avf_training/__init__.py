"""Shards become trained models: pre-training, post-pre-training, fine-tuning, evaluation. Reads avf_shards only.

The public API of inference is imported from here: `from avf_training import predict`.
"""

from typing import TYPE_CHECKING

from avf_shards import import_at_first_use

if TYPE_CHECKING:
    from avf_training.inference.api import PersonPrediction, WindowPrediction, embed_clips, predict

__all__ = ["PersonPrediction", "WindowPrediction", "embed_clips", "predict"]


# torch takes seconds to import: `import avf_training` and `avf-train --help` must not wait for it.
__getattr__ = import_at_first_use(__name__, dict.fromkeys(__all__, "inference.api"))
