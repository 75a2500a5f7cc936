"""Shards become trained models: pre-training, post-pre-training, fine-tuning, evaluation. Reads avf_shards only.

The public API of inference is imported from here: `from avf_training import predict`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avf_training.inference.api import ClipPrediction, WindowPrediction, embed_clips, predict

__all__ = ["ClipPrediction", "WindowPrediction", "embed_clips", "predict"]


def __getattr__(name: str) -> Any:
    # torch takes seconds to import: `import avf_training` and `avf-train --help` must not wait for it.
    if name in __all__:
        from avf_training.inference import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
