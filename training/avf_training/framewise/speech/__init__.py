"""Training of SUN's acoustic models on voice windows: sound, labels of frames, and where somebody speaks."""
