"""From predictions of windows to one prediction for each frame: averages, interpolation, smoothing, votes."""
