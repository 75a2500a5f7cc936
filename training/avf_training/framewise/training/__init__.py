"""Training of sequence models on feature tracks and labels of frames, and their predictions."""
