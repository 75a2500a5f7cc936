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
    from avf_training.timed_features.audio_frames import AudioFrames, TimedFeatures
    from avf_training.timed_features.frame_file import FrameFeatures, FrameHeader, read_frame_features
    from avf_training.timed_features.gated_visual import GatedVisual
    from avf_training.timed_features.neighbours import stack_layers, with_neighbours
    from avf_training.timed_features.speech import SpeechEncoder, SpeechProcessor
    from avf_training.timed_features.video_frames import VideoFrames

__all__ = [
    "AudioFrames",
    "FinetuneOptions",
    "FrameFeatures",
    "FrameHeader",
    "GatedVisual",
    "PersonPrediction",
    "PosttrainOptions",
    "PretrainOptions",
    "PretrainedRun",
    "SpeechEncoder",
    "SpeechProcessor",
    "StageRun",
    "TimedFeatures",
    "VideoFrames",
    "WindowPrediction",
    "embed_clips",
    "finetune",
    "from_pretrained",
    "posttrain",
    "predict",
    "pretrain",
    "push_to_hub",
    "read_frame_features",
    "stack_layers",
    "with_neighbours",
]


_MODULES = {
    **dict.fromkeys(("FinetuneOptions", "PosttrainOptions", "StageRun", "finetune", "posttrain"), "finetune_api"),
    **dict.fromkeys(("PretrainOptions", "PretrainedRun", "pretrain"), "pretrain_api"),
    **dict.fromkeys(("PersonPrediction", "WindowPrediction", "embed_clips", "predict"), "inference.api"),
    **dict.fromkeys(("from_pretrained", "push_to_hub"), "inference.hub"),
    **dict.fromkeys(("AudioFrames", "TimedFeatures"), "timed_features.audio_frames"),
    **dict.fromkeys(("FrameFeatures", "FrameHeader", "read_frame_features"), "timed_features.frame_file"),
    **dict.fromkeys(("SpeechEncoder", "SpeechProcessor"), "timed_features.speech"),
    **dict.fromkeys(("stack_layers", "with_neighbours"), "timed_features.neighbours"),
    "GatedVisual": "timed_features.gated_visual",
    "VideoFrames": "timed_features.video_frames",
}
# torch takes seconds to import: `import avf_training` and `avf-train --help` must not wait for it.
__getattr__ = import_at_first_use(__name__, _MODULES)
