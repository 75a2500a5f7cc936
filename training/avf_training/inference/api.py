"""Python API for inference: predictions over time (`predict`) and features (`embed_clips`) of a trained model.

from avf_training import predict
for prediction in predict("DIR", "RUN"):
    print(prediction.video_id, prediction.person, prediction.best, prediction.windows[0].scores)
"""

from avf_training.inference.embeddings import embed_clips
from avf_training.inference.predictions import ClipPrediction, WindowPrediction, predict

__all__ = ["ClipPrediction", "WindowPrediction", "embed_clips", "predict"]
