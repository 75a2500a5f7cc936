"""Python API for inference: predictions over time (`predict`) and features (`embed_clips`) of a trained model.

from avf_training import predict
for prediction in predict("talk.mp4", "RUN"):
    print(prediction.video_id, prediction.person, prediction.best, prediction.windows[0].scores)
"""

from avf_training.inference.embeddings import embed_clips
from avf_training.inference.person_prediction import PersonPrediction, WindowPrediction
from avf_training.inference.predictions import predict

__all__ = ["PersonPrediction", "WindowPrediction", "embed_clips", "predict"]
