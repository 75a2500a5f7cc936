"""A model in three lines: what it says over time, and its features.

from avf_training.inference.api import predict
for told in predict("DIR", "RUN"):
    print(told.video_id, told.person, told.best)
"""

from avf_training.inference.embeddings import embed_clips
from avf_training.inference.predict import ClipPrediction, WindowPrediction, predict

__all__ = ["ClipPrediction", "WindowPrediction", "embed_clips", "predict"]
